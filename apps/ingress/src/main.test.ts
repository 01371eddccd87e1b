import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { readConfig } from './config.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))

test('announces its port, serves, and ends when its supervisor is gone', async t => {
  const directory = await mkdtemp(path.join(tmpdir(), 'ingress-'))
  t.after(() => rm(directory, { recursive: true }))
  const child = spawn(process.execPath, [main], {
    stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
    env: {
      CODERUNNER_APPS_PORT: '0',
      CODERUNNER_INGRESS_DATA: path.join(directory, 'data'),
      CODERUNNER_INGRESS_SOCKET: path.join(directory, 'control.sock'),
      CODERUNNER_READY_FD: '3',
    },
  })
  t.after(() => child.kill('SIGKILL'))
  const [stdin, stdout, , ready] = child.stdio
  assert.ok(stdin !== null && stdout !== null && ready instanceof Readable)
  const log = text(stdout)
  const announced = JSON.parse(await text(ready)) as { ready: boolean; port: number }
  assert.equal(announced.ready, true)
  const answer = await fetch(`http://127.0.0.1:${announced.port}/`)
  assert.equal(answer.status, 404)
  await answer.text()
  const exit = once(child, 'exit')
  stdin.end()
  assert.deepEqual(await exit, [0, null])
  for (const line of (await log).trim().split('\n')) assert.equal((JSON.parse(line) as { app: string }).app, 'ingress')
})

test('the configuration tells all that is wrong with it at once', () => {
  const problems = {
    CODERUNNER_APPS_PORT: '99999',
    CODERUNNER_TRUSTED_PROXIES: '10.0.0.0/8,example',
    CODERUNNER_LOG_LEVEL: 'loud',
  }
  assert.throws(() => readConfig(problems), {
    message:
      /TRUSTED_PROXIES: "example"[^]*LOG_LEVEL[^]*APPS_PORT must be[^]*INGRESS_DATA is missing[^]*INGRESS_SOCKET is missing/,
  })
  const config = readConfig({ CODERUNNER_INGRESS_DATA: '/x', CODERUNNER_INGRESS_SOCKET: '/y' })
  assert.deepEqual([config.host, config.appsPort, config.serverSocket], ['127.0.0.1', 3080, undefined])
})
