import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { newId } from '@coderunner/contract'
import type { ProviderEvent, SandboxSpec } from '@coderunner/runtime'
import { runConformance } from '@coderunner/runtime/conformance'
import { ProcessProvider } from './process-provider.ts'
import { sandboxProcesses } from './process-tree.ts'

runConformance('process', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'cr-process-'))
  const start = (): Promise<ProcessProvider> => ProcessProvider.start({ dataDir, allowRoot: true })
  let provider = await start()
  return {
    provider,
    restart: async () => {
      await provider[Symbol.asyncDispose]()
      provider = await start()
      return provider
    },
    dispose: async () => {
      await provider[Symbol.asyncDispose]()
      assert.deepEqual(await readdir(join(dataDir, 'sandboxes')), [])
      assert.deepEqual(await readdir(join(dataDir, 'layers')), [])
      await rm(dataDir, { recursive: true, force: true })
    },
  }
})

test('refuses to run as root unless told to', async t => {
  if (process.getuid?.() !== 0) return t.skip('this is not root')
  await assert.rejects(ProcessProvider.start({ dataDir: join(tmpdir(), 'cr-never') }), { code: 'not_supported' })
})

test('a holder that is killed takes the sandbox with it, also while nobody looks', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'cr-process-'))
  const fence = { key: 'test', epoch: 1 }
  const holderOf = async (id: string): Promise<number> => {
    const record = JSON.parse(await readFile(join(dataDir, 'sandboxes', id, 'record.json'), 'utf8')) as object
    assert.ok('holder' in record && typeof record.holder === 'number')
    return record.holder
  }
  const lost = { code: -1, outOfMemory: false }
  try {
    const first = await ProcessProvider.start({ dataDir, allowRoot: true })
    const [seen, unseen] = [await first.create(spec(), fence), await first.create(spec(), fence)]
    const stop = new AbortController()
    const events = first.events(stop.signal)[Symbol.asyncIterator]()
    const told = events.next()
    process.kill(await holderOf(seen.id), 'SIGKILL')
    assert.deepEqual((await told).value as ProviderEvent, { kind: 'exited', sandboxId: seen.id, exit: lost })
    stop.abort()
    await first[Symbol.asyncDispose]()
    process.kill(await holderOf(unseen.id), 'SIGKILL')
    const second = await ProcessProvider.start({ dataDir, allowRoot: true })
    const found = (await second.list()).map(({ id }) => id)
    assert.deepEqual(found.sort(), [seen.id, unseen.id].sort())
    for (const id of found) {
      const sandbox = await second.get(id)
      assert.deepEqual(await sandbox?.stop(fence, { graceMs: 5000 }), lost)
      assert.deepEqual(await sandboxProcesses(id, undefined), [])
      await sandbox?.destroy(fence)
    }
    await second[Symbol.asyncDispose]()
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('takes all of its sandboxes away when asked to', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'cr-process-'))
  try {
    await using provider = await ProcessProvider.start({ dataDir, allowRoot: true })
    const fence = { key: 'test', epoch: 1 }
    const made = await Promise.all([provider.create(spec(), fence), provider.create(spec(), fence)])
    await provider.remove()
    assert.deepEqual(await provider.list(), [])
    for (const { id } of made) assert.deepEqual(await sandboxProcesses(id, undefined), [])
    assert.deepEqual(await readdir(join(dataDir, 'sandboxes')), [])
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

function spec(): SandboxSpec {
  return {
    id: newId(),
    group: 'test',
    labels: {},
    template: 'node',
    layers: [],
    limits: { memoryMb: 128, cpus: 1, pids: 64, diskMb: 64 },
    env: {},
    main: { kind: 'command', argv: ['sh', '-c', 'setsid sleep 64 & sleep 64'] },
    network: { egress: 'none' },
  }
}
