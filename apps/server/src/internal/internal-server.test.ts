import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { AppError, newId } from '@coderunner/contract'
import { pino } from 'pino'
import { Client } from 'undici'
import { InternalServer } from './internal-server.ts'

test('the ingress wakes deployments through the socket', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'coderunner-internal-'))
  const socketPath = join(directory, 'internal.sock')
  const [known, unknown] = [newId(), newId()]
  const woken: string[] = []
  try {
    await using _server = await InternalServer.start({
      socketPath,
      logger: pino({ level: 'silent' }),
      wake: async id => {
        if (id !== known) throw new AppError('not_found', `There is no deployment ${id}.`)
        woken.push(id)
      },
    })
    assert.equal((await stat(socketPath)).mode & 0o777, 0o660)
    const client = new Client('http://server', { socketPath })
    const post = async (path: string, body: string) => {
      const answer = await client.request({ method: 'POST', path, body })
      const text = await answer.body.text()
      return [answer.statusCode, text === '' ? undefined : JSON.parse(text).code]
    }
    assert.deepEqual(await post('/wake', JSON.stringify({ deploymentId: known })), [202, undefined])
    assert.deepEqual(await post('/wake', JSON.stringify({ deploymentId: unknown })), [404, 'not_found'])
    assert.deepEqual(await post('/wake', '{"deploymentId":"../x"}'), [400, 'invalid_request'])
    assert.deepEqual(await post('/wake', 'x'), [400, 'invalid_request'])
    assert.deepEqual(await post('/wake', `"${'x'.repeat(20_000)}"`), [413, 'too_large'])
    assert.deepEqual(await post('/other', '{}'), [404, 'not_found'])
    assert.deepEqual(woken, [known])
    await client.close()
  } finally {
    await rm(directory, { recursive: true })
  }
})
