import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { newId } from '@coderunner/contract'
import type { SandboxSpec } from '@coderunner/runtime'
import { HostProvider } from './host-provider.ts'
import { hostPaths, sandboxPaths } from './instance.ts'
import { findLeaks } from './leaks.ts'
import type { SandboxRecord } from './sandbox-store.ts'
import { makeTestHost } from './test-provider.ts'

const fence = { key: 'test', epoch: 1 }
const spec = (rest: Partial<SandboxSpec> = {}): SandboxSpec => ({
  id: newId(),
  group: 'group',
  labels: {},
  template: 'node',
  layers: [],
  limits: { memoryMb: 128, cpus: 1, pids: 64, diskMb: 64 },
  env: {},
  main: { kind: 'agent' },
  network: { egress: 'none' },
  ...rest,
})
const sleeper: Partial<SandboxSpec> = { main: { kind: 'command', argv: ['sleep', '1000'] } }

/** A provider in a process of its own that makes, captures and removes sandboxes without end. */
async function startBusyProcess(options: object): Promise<ChildProcess> {
  const script = `
    import { HostProvider } from ${JSON.stringify(new URL('host-provider.ts', import.meta.url).href)}
    import { newId } from '@coderunner/contract'
    const provider = await HostProvider.start(${JSON.stringify(options)})
    const spec = ${JSON.stringify(spec())}
    const fence = ${JSON.stringify(fence)}
    console.log('busy')
    for (let n = 0; ; n++) {
      const sandbox = await provider.create({ ...spec, id: newId() }, fence)
      const other = provider.create({ ...spec, id: newId(), ...${JSON.stringify(sleeper)} }, fence)
      await sandbox.files.write('file', Buffer.from('text'))
      const layer = await provider.captureLayer(sandbox.id, newId(), fence)
      const third = await provider.create({ ...spec, id: newId(), layers: [layer.id] }, fence)
      await Promise.all([(await other).destroy(fence), third.destroy(fence)])
      await provider.removeLayer(layer.id)
    }`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  assert.equal(line, 'busy')
  return child
}

test('a killed provider leaves nothing that the next one does not know or remove', async t => {
  const host = makeTestHost()
  try {
    for (let round = 0; round < 8; round++) {
      const child = await startBusyProcess(host.options)
      const afterMs = Math.round(Math.random() * 900)
      await delay(afterMs)
      child.kill('SIGKILL')
      await once(child, 'exit')
      await using provider = await HostProvider.start(host.options)
      const found = await provider.list()
      t.diagnostic(`killed after ${afterMs} ms, found ${found.length} sandboxes`)
      for (const { id, status } of found) {
        const sandbox = await provider.get(id)
        assert.ok(sandbox)
        // One that was being destroyed or captured has ended.
        if (status === 'running' && sandbox.record.spec.main.kind === 'agent') await sandbox.files.list('')
        await sandbox.destroy(fence)
      }
      for (const { id } of await provider.listLayers()) await provider.removeLayer(id)
      const leaks = await findLeaks(host.options)
      // What a provider has of its own: its tmpfs with the agent's code in it, its table, its groups, its directory.
      const own = /^(mount \S+\/m(\/-\/code)?|table inet \S+|control group \S+|directory \S+)$/
      assert.deepEqual(
        leaks.filter(leak => !own.test(leak)),
        [],
      )
    }
  } finally {
    await host.clean()
  }
})

test('what ended while nobody looked is told as it ended', async () => {
  const host = makeTestHost()
  try {
    const [quick, killed, lost, stays] = await (async () => {
      await using provider = await HostProvider.start(host.options)
      const quick = await provider.create(
        spec({ main: { kind: 'command', argv: ['sh', '-c', 'echo said; sleep 0.5; exit 9'] } }),
        fence,
      )
      const others = await Promise.all([1, 2, 3].map(() => provider.create(spec(sleeper), fence)))
      return [quick, ...others].map(({ id }) => id)
    })()
    assert.ok(quick && killed && lost && stays)
    const recordOf = (id: string): Required<Pick<SandboxRecord, 'running'>> =>
      JSON.parse(readFileSync(sandboxPaths(hostPaths(host.options), id).record, 'utf8')) as never
    process.kill(recordOf(killed).running.main.pid, 'SIGKILL')
    process.kill(recordOf(lost).running.conmon.pid, 'SIGKILL')
    await delay(800)
    await using provider = await HostProvider.start(host.options)
    const exitOf = async (id: string): Promise<unknown> => (await (await provider.get(id))?.info())?.exit
    assert.deepEqual(await exitOf(quick), { code: 9, outOfMemory: false })
    assert.deepEqual(await exitOf(killed), { code: 137, outOfMemory: false })
    assert.deepEqual(await exitOf(lost), { code: -1, outOfMemory: false })
    assert.equal(await exitOf(stays), undefined)
    const lines: string[] = []
    const output = (await provider.get(quick))?.output({ offset: 0, signal: new AbortController().signal }) ?? []
    for await (const chunk of output) lines.push(...chunk.lines.map(({ text }) => text))
    assert.deepEqual(lines, ['said'])
    assert.equal((await provider.get(stays))?.record.running.main.pid, recordOf(stays).running.main.pid)
  } finally {
    await host.clean()
  }
})

test('one data directory has one provider', async () => {
  const host = makeTestHost()
  try {
    await using _provider = await HostProvider.start(host.options)
    await assert.rejects(HostProvider.start(host.options), { code: 'conflict' })
  } finally {
    await host.clean()
  }
})

test('a dead conmon is a failed sandbox', async () => {
  const host = makeTestHost()
  try {
    await using provider = await HostProvider.start(host.options)
    const sandbox = (await provider.create(spec(sleeper), fence)) as Awaited<ReturnType<typeof provider.get>>
    const events = provider.events(new AbortController().signal)[Symbol.asyncIterator]()
    assert.ok(sandbox)
    process.kill(sandbox.record.running.conmon.pid, 'SIGKILL')
    const exit = { code: -1, outOfMemory: false }
    assert.deepEqual((await events.next()).value, { kind: 'exited', sandboxId: sandbox.id, exit })
  } finally {
    await host.clean()
  }
})

test('a lot of output in a short time arrives whole, over rotated files', async () => {
  const host = makeTestHost()
  try {
    await using provider = await HostProvider.start(host.options)
    const count = 1_000_000
    const script = `seq 1 1000000`
    const sandbox = await provider.create(spec({ main: { kind: 'command', argv: ['sh', '-c', script] } }), fence)
    let next = 1
    for await (const { lines, offset } of sandbox.output({ offset: 0, signal: AbortSignal.timeout(60_000) })) {
      for (const { text } of lines) assert.equal(Number(text), next++)
      await sandbox.acknowledgeOutput(offset)
    }
    assert.equal(next, count + 1)
    const { output } = sandboxPaths(hostPaths(host.options), sandbox.id)
    assert.ok(Number(readFileSync(join(output, 'base'), 'utf8')) > 16 * 1024 ** 2, 'the file was rotated')
  } finally {
    await host.clean()
  }
})
