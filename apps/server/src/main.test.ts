import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { testDatabase } from '@coderunner/database/testing'

const main = new URL('main.ts', import.meta.url).pathname

test('announces its port, serves, and ends with its supervisor', async () => {
  await using created = await testDatabase()
  const directory = await mkdtemp(join(tmpdir(), 'coderunner-main-'))
  try {
    const child = spawn(process.execPath, [main], {
      env: {
        DATABASE_URL: created.url,
        CODERUNNER_SERVER_DATA: directory,
        CODERUNNER_SERVER_SOCKET: join(directory, 'internal.sock'),
        CODERUNNER_PORT: '0',
        // Nobody listens there: the server starts, serves and keeps trying.
        CODERUNNER_HOST_SOCKET: join(directory, 'daemon.sock'),
        CODERUNNER_INGRESS_SOCKET: join(directory, 'control.sock'),
        CODERUNNER_READY_FD: '3',
      },
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
    })
    const log = text(child.stdout as Readable)
    const exit = once(child, 'exit')
    const { ready, port, setupRequired } = JSON.parse(await text(child.stdio[3] as Readable))
    assert.deepEqual([ready, setupRequired], [true, true])
    assert.deepEqual(await (await fetch(`http://127.0.0.1:${port}/health`)).json(), { status: 'ok' })
    child.stdin?.end()
    assert.deepEqual(await exit, [0, null])
    for (const line of (await log).trim().split('\n')) assert.equal(JSON.parse(line).process, 'server')
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('says everything that is wrong with its configuration and ends', async () => {
  const child = spawn(process.execPath, [main], { env: {}, stdio: ['ignore', 'ignore', 'pipe'] })
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  assert.doesNotMatch(errors, /\n\s+at /)
  assert.match(
    errors,
    /DATABASE_URL is not set[^]*CODERUNNER_SERVER_DATA is not set|CODERUNNER_SERVER_DATA[^]*DATABASE_URL/,
  )
  assert.equal(code, 1)
})
