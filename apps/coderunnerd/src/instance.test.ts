import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { type Config, readConfig } from './config.ts'
import { prepareInstance, removeRunDirectory } from './instance.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root'

suite('directories of an instance', { skip }, () => {
  let directory: string
  let config: Config
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'crinst-'))
    config = {
      ...readConfig({ CODERUNNER_DATA_DIR: join(directory, 'data') }, true),
      runParent: join(directory, 'run'),
    }
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  test('belong to whom they are for, and let in who connects', async () => {
    const { id, data, run } = await prepareInstance(config)
    assert.match(id, /^cr[0-9a-f]{6}$/)
    const seen = (path: string): string => {
      const { mode, uid, gid } = statSync(path)
      return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`
    }
    assert.equal(seen(data.root), '700 0:0')
    assert.equal(seen(data.server), '700 990001:990001')
    assert.equal(seen(data.postgres), '711 0:0')
    assert.equal(seen(run.root), '711 0:0')
    assert.equal(seen(run.host), '2750 0:990001')
    assert.equal(seen(run.server), '2750 990001:990002')
    assert.equal(seen(run.ingress), '2750 990002:990001')
    assert.equal(seen(run.postgres), '2750 990003:990001')
    assert.equal((await prepareInstance(config)).id, id)
    writeFileSync(join(run.server, 'left.sock'), '')
    await removeRunDirectory({ id, data, run })
    assert.equal(existsSync(join(directory, 'run')), false)
  })

  test('of somebody else are refused', async () => {
    mkdirSync(config.dataDir)
    chownSync(config.dataDir, 1234, 1234)
    await assert.rejects(prepareInstance(config), /belongs to uid 1234, but has to belong to uid 0/)
  })

  test('that cannot be made are told with the reason and the setting', async () => {
    writeFileSync(join(directory, 'file'), '')
    const inTheWay = { ...config, dataDir: join(directory, 'file', 'data') }
    await assert.rejects(
      prepareInstance(inTheWay),
      /file\/data cannot be made: a file is in the way. Set CODERUNNER_DATA_DIR to/,
    )
  })
})

test('the second coderunnerd on a data directory says who has it', { skip }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'crlock-'))
  try {
    const program = `
      const { DirectoryLock } = await import('@coderunner/database')
      const { spawnSync } = await import('node:child_process')
      using lock = DirectoryLock.acquire(${JSON.stringify(join(directory, 'lock'))})
      const second = spawnSync(process.execPath, ['--input-type=module', '-e', \`
        const { lockInstance } = await import('${join(import.meta.dirname, 'supervisor.ts')}')
        lockInstance({ data: { root: '${directory}' } })\`], { encoding: 'utf8', cwd: ${JSON.stringify(import.meta.dirname)} })
      console.log(second.status, process.pid, second.stderr)`
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      cwd: import.meta.dirname,
    })
    const [, status, pid] = /^(\d+) (\d+) /.exec(stdout) ?? []
    assert.equal(status, '1')
    assert.match(stdout, new RegExp(`CodeRunner is running on ${directory} already: process ${pid}`))
  } finally {
    rmSync(directory, { recursive: true })
  }
})
