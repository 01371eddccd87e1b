import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { listenAdvice } from './listen-failure.ts'

async function failure(host: string, port: number): Promise<string> {
  const [error] = (await once(createServer().listen(port, host), 'error')) as [Error]
  return `fatal: The ingress cannot run: ${error.message}`
}

test('a port that is taken, an address of another machine and an unknown name are told with the setting to change', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const inUse = await failure('127.0.0.1', port)
  taken.close()
  assert.match(
    listenAdvice(inUse, 'CODERUNNER_APPS_PORT') ?? '',
    new RegExp(`^127\\.0\\.0\\.1:${port} is taken.*set CODERUNNER_APPS_PORT`),
  )
  assert.match(
    listenAdvice(await failure('198.51.100.77', 0), 'CODERUNNER_PORT') ?? '',
    /^198\.51\.100\.77 is no address.*CODERUNNER_HOST/,
  )
  assert.match(
    listenAdvice(await failure('no-such-host.invalid', 0), 'CODERUNNER_PORT') ?? '',
    /^no-such-host\.invalid is no name.*CODERUNNER_HOST/,
  )
  assert.match(
    listenAdvice('listen EACCES: permission denied 0.0.0.0:80', 'CODERUNNER_PORT') ?? '',
    /ip_unprivileged_port_start=80/,
  )
  assert.equal(listenAdvice('fatal: connect ECONNREFUSED 127.0.0.1:5432', 'CODERUNNER_PORT'), undefined)
})
