import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { newId } from '@coderunner/contract'
import { runConformance } from '@coderunner/runtime/conformance'
import { request } from 'undici'
import { DaemonLink } from './daemon-link.ts'
import { HostClient } from './host-client.ts'
import { HostDaemon } from './host-daemon.ts'
import { HostProvider } from './host-provider.ts'
import { makeTestHost, type TestHost } from './test-provider.ts'

const socketOf = (host: TestHost): string => join(host.options.runDir, 'daemon.sock')

async function serve(host: TestHost): Promise<AsyncDisposable> {
  const provider = await HostProvider.start(host.options)
  const daemon = await HostDaemon.start({
    provider,
    socketPath: socketOf(host),
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  })
  return {
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]()
      await provider[Symbol.asyncDispose]()
    },
  }
}

runConformance('host (through its daemon)', async () => {
  const host = makeTestHost()
  let serving = await serve(host)
  const client = new HostClient({ socketPath: socketOf(host) })
  return {
    provider: client,
    restart: async () => {
      await serving[Symbol.asyncDispose]()
      serving = await serve(host)
      return client
    },
    dispose: async () => {
      await client[Symbol.asyncDispose]()
      await serving[Symbol.asyncDispose]()
      await host.clean()
    },
  }
})

test('a daemon that is away is told as such, and found again when it is back', async () => {
  const host = makeTestHost()
  await using client = new HostClient({ socketPath: socketOf(host) })
  try {
    await assert.rejects(client.list(), { code: 'unavailable' })
    {
      await using serving = await serve(host)
      void serving
      assert.deepEqual(await client.list(), [])
      const events = client.events(new AbortController().signal)
      const lost = assert.rejects(async () => events[Symbol.asyncIterator]().next(), { code: 'unavailable' })
      await client.list()
      await serving[Symbol.asyncDispose]()
      await lost
      await assert.rejects(client.list(), { code: 'unavailable' })
    }
    await using _serving = await serve(host)
    assert.deepEqual(await client.list(), [])
  } finally {
    await host.clean()
  }
})

test('orders that make no sense are refused before anything is done', async () => {
  const host = makeTestHost()
  try {
    await using _serving = await serve(host)
    await using link = new DaemonLink(socketOf(host))
    const refused = { code: 'invalid_request' }
    const fence = { key: 'k', epoch: 1 }
    await assert.rejects(link.json('POST', '/sandboxes', { spec: { id: newId() }, fence }), refused)
    await assert.rejects(link.json('POST', '/sandboxes', 'x'), refused)
    await assert.rejects(link.json('POST', '/sandboxes/..%2F..%2Ftmp/destroy', { fence }), refused)
    await assert.rejects(link.json('POST', `/sandboxes/${newId()}/destroy`, { fence: { key: 'k' } }), refused)
    await assert.rejects(link.json('GET', `/sandboxes/${newId()}/output?offset=-1`), refused)
    await assert.rejects(link.json('DELETE', '/layers/..%2Fx'), refused)
    await assert.rejects(link.json('GET', '/nothing'), { code: 'not_found' })
    await assert.rejects(link.json('GET', `/sandboxes/${newId()}/agent/health`), { code: 'not_found' })
    const huge = await request('http://host/sandboxes', {
      dispatcher: link.dispatcher,
      method: 'POST',
      body: Buffer.alloc(5 * 1024 ** 2, ' '),
    })
    assert.equal(huge.statusCode, 413)
    await huge.body.dump()
  } finally {
    await host.clean()
  }
})
