import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { suite, test } from 'node:test'
import { NotSupportedError } from '../errors.ts'
import type { ProviderEvent, Sandbox } from '../sandbox.ts'
import { type ConformanceWorld, readOutput, run, saying, skip, textOf } from './world.ts'

export function mainProcessTests(world: () => ConformanceWorld): void {
  suite('main process', () => {
    test('its output is the log, its end the end', async () => {
      const sandbox = await world().command(world().programs.speak)
      const { lines, offset } = await readOutput(sandbox)
      assert.deepEqual(textOf(lines, 'stdout'), ['one', 'three'])
      assert.deepEqual(textOf(lines, 'stderr'), ['two'])
      for (const line of lines) assert.ok(Math.abs(line.time - Date.now()) < 60_000)
      const info = await sandbox.info()
      assert.deepEqual([info.status, info.exit], ['exited', { code: 7, outOfMemory: false }])
      assert.deepEqual(await sandbox.stop(world().fence, { graceMs: 1000 }), info.exit, 'stopping it is no error')
      assert.deepEqual((await readOutput(sandbox, offset)).lines, [], 'read to the end')
      await sandbox.acknowledgeOutput(offset)
      assert.deepEqual((await readOutput(sandbox, offset)).lines, [])
      await assert.rejects(sandbox.run({ argv: ['echo'] }), NotSupportedError)
    })

    test('output goes on from an offset, nothing twice, nothing lost', async () => {
      const sandbox = await world().command(world().programs.tick)
      const first = await readOutput(sandbox, 0, lines => lines.length >= 5)
      await sandbox.acknowledgeOutput(first.offset)
      const second = await readOutput(sandbox, first.offset, lines => lines.length >= 5)
      const said = [...first.lines, ...second.lines].map(line => Number(line.text))
      assert.deepEqual(
        said,
        said.map((_, index) => index),
      )
      assert.deepEqual(await sandbox.stop(world().fence, { graceMs: 5000 }), { code: 0, outOfMemory: false })
    })

    test('stop: SIGTERM, then SIGKILL', async () => {
      const willing = await world().command(world().programs.serve)
      await saying(willing, 'listening')
      assert.equal((await willing.stop(world().fence, { graceMs: 10_000 })).code, 0)
      assert.equal((await readOutput(willing)).lines.at(-1)?.text, 'bye')
      const stubborn = await world().command(world().programs.stubborn)
      await saying(stubborn, 'ready')
      assert.equal((await stubborn.stop(world().fence, { graceMs: 200 })).code, 137)
      assert.equal((await stubborn.info()).status, 'exited')
    })

    test('exits are told as events', async () => {
      const stop = new AbortController()
      const events = world().provider.events(stop.signal)[Symbol.asyncIterator]()
      const told = new Promise<ProviderEvent>((resolve, reject) => {
        events.next().then(next => resolve(next.value as ProviderEvent), reject)
      })
      const sandbox = await world().command(world().programs.speak)
      assert.deepEqual(await told, { kind: 'exited', sandboxId: sandbox.id, exit: { code: 7, outOfMemory: false } })
      stop.abort()
      assert.equal((await events.next()).done, true)
    })

    test('its ports are found and answer at its address', async () => {
      for (const program of ['serve', 'serveLoopback'] as const) {
        const sandbox = await world().command(world().programs[program], { env: { PORT: '3000', GREETING: program } })
        await saying(sandbox, 'listening')
        const ports = await sandbox.ports()
        assert.deepEqual(
          ports.map(({ bound }) => bound),
          [program === 'serve' ? 'any' : 'loopback'],
        )
        assert.equal(await answerOf(sandbox), program)
      }
    })

    test('sandboxes of a group reach each other, others do not', async t => {
      const { peers, isolation } = world().provider.capabilities
      if (!peers) return skip(t, 'no peers')
      const server = await world().command(world().programs.serve, { env: { PORT: '3000', GREETING: 'peer' } })
      await saying(server, 'listening')
      const url = await urlOf(server)
      const friend = await world().create()
      assert.equal((await run(friend, [...world().programs.fetch, url])).stdout, 'peer\n')
      if (!isolation) return t.diagnostic('no isolation: others reach it too')
      const stranger = await world().create({ group: 'stranger' })
      assert.equal((await run(stranger, [...world().programs.fetch, url])).exit.code, 1)
    })

    test('pause and resume', async t => {
      const sandbox = await world().command(world().programs.serve)
      await saying(sandbox, 'listening')
      if (!world().provider.capabilities.pause) {
        await assert.rejects(sandbox.pause(world().fence), NotSupportedError)
        await assert.rejects(sandbox.resume(world().fence), NotSupportedError)
        return skip(t, 'cannot pause, and says so')
      }
      await sandbox.pause(world().fence)
      assert.equal((await sandbox.info()).status, 'paused')
      await assert.rejects(answerOf(sandbox, 300), { name: 'TimeoutError' })
      await sandbox.resume(world().fence)
      assert.equal((await sandbox.info()).status, 'running')
      assert.equal(await answerOf(sandbox), 'hello')
      await sandbox.pause(world().fence)
      assert.equal((await sandbox.stop(world().fence, { graceMs: 5000 })).code, 0, 'a paused one can be stopped')
    })

    test('survives a restart of the provider', async t => {
      if (!world().canRestart) return skip(t, 'no restart')
      const sandbox = await world().command(world().programs.tick)
      const first = await readOutput(sandbox, 0, lines => lines.length >= 5)
      const waiting = await world().create()
      await waiting.files.write('kept', Buffer.from('kept'))
      const before = await sandbox.info()
      await world().restart()
      const { provider, fence } = world()
      assert.deepEqual((await provider.list()).map(({ id }) => id).sort(), [sandbox.id, waiting.id].sort())
      const adopted = await provider.get(sandbox.id)
      assert.ok(adopted)
      assert.deepEqual(await adopted.info(), before)
      const second = await readOutput(adopted, first.offset, lines => lines.length >= 5)
      const said = [...first.lines, ...second.lines].map(line => Number(line.text))
      assert.deepEqual(
        said,
        said.map((_, index) => index),
      )
      const again = await provider.get(waiting.id)
      assert.equal(again && (await run(again, ['cat', 'kept'])).stdout, 'kept')
      const stop = new AbortController()
      const events = provider.events(stop.signal)[Symbol.asyncIterator]()
      const told = events.next()
      assert.equal((await adopted.stop(fence, { graceMs: 5000 })).code, 0)
      assert.equal(((await told).value as ProviderEvent).sandboxId, sandbox.id)
      stop.abort()
      await events.next()
    })
  })
}

async function urlOf(sandbox: Sandbox): Promise<string> {
  const [first] = await sandbox.ports()
  assert.ok(first)
  return `http://${(await sandbox.info()).address}:${first.port}/`
}

async function answerOf(sandbox: Sandbox, timeoutMs = 5000): Promise<string> {
  const stop = AbortSignal.timeout(timeoutMs)
  const asked = get(await urlOf(sandbox), { agent: false, signal: stop })
  try {
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    return (await answer.setEncoding('utf8').toArray()).join('')
  } catch (error) {
    stop.throwIfAborted()
    throw error
  }
}
