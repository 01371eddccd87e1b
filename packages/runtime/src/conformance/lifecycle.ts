import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { AppError, newId } from '@coderunner/contract'
import { StaleEpochError } from '../errors.ts'
import type { SandboxSpec } from '../sandbox.ts'
import { type ConformanceWorld, run } from './world.ts'

export function lifecycleTests(world: () => ConformanceWorld): void {
  suite('lifecycle', () => {
    test('create, info, list, get, destroy', async () => {
      const { provider, fence } = world()
      const spec = world().spec({ labels: { a: '1' }, group: 'some-group' })
      const sandbox = await provider.create(spec, fence)
      const info = await sandbox.info()
      assert.deepEqual(
        [sandbox.id, info.id, info.group, info.labels, info.status, info.exit],
        [spec.id, spec.id, 'some-group', { a: '1' }, 'running', undefined],
      )
      assert.ok(info.appDir.startsWith('/') && info.address !== '')
      assert.ok(Math.abs(info.createdAt.getTime() - Date.now()) < 60_000)
      assert.deepEqual(await provider.list(), [info])
      assert.deepEqual(await (await provider.get(spec.id))?.info(), info)
      assert.equal(await provider.get(newId()), undefined)
      await sandbox.destroy(fence)
      await sandbox.destroy(fence)
      assert.deepEqual(await provider.list(), [])
      assert.equal(await provider.get(spec.id), undefined)
      await assert.rejects(sandbox.info(), { code: 'not_found' })
    })

    test('destroy ends everything, also what does not want to end', async () => {
      const { fence, programs, provider } = world()
      const sandbox = await world().create()
      const process = await sandbox.run({ argv: programs.stubborn })
      for await (const { data } of process.output()) if (data.toString().includes('ready')) break
      const exit = process.exit.then(
        () => 'ended',
        (error: unknown) => (error instanceof AppError ? 'ended' : error),
      )
      await sandbox.destroy(fence)
      assert.equal(await exit, 'ended')
      assert.deepEqual(await provider.list(), [])
    })

    test('a repeated create is the same sandbox', async () => {
      const { provider, fence } = world()
      const spec = world().spec()
      const [first, second] = await Promise.all([provider.create(spec, fence), provider.create(spec, fence)])
      const third = await provider.create(spec, fence)
      await first.files.write('file', Buffer.from('shared'))
      for (const sandbox of [second, third]) assert.equal((await run(sandbox, ['cat', 'file'])).stdout, 'shared')
      assert.equal((await provider.list()).length, 1)
    })

    test('what cannot be made leaves nothing', async () => {
      const { provider } = world()
      const bad: Partial<SandboxSpec>[] = [
        { id: '../../../../tmp/evil' },
        { main: { kind: 'command', argv: [] } },
        { layers: [newId()] },
        { layers: ['../x'] },
        { env: { 'A=B': 'c' } },
        { limits: { memoryMb: Number.NaN, cpus: 1, pids: 1, diskMb: 1 } },
      ]
      for (const rest of bad) await assert.rejects(world().create(rest), AppError, JSON.stringify(rest))
      assert.deepEqual(await provider.list(), [])
    })

    test('an older epoch is refused', async () => {
      const { provider } = world()
      const key = newId()
      const sandbox = await provider.create(world().spec(), { key, epoch: 5 })
      const stale = { key, epoch: 4 }
      await assert.rejects(provider.create(world().spec(), stale), StaleEpochError)
      await assert.rejects(sandbox.stop(stale, { graceMs: 1 }), StaleEpochError)
      await assert.rejects(sandbox.destroy(stale), StaleEpochError)
      if (provider.capabilities.pause) await assert.rejects(sandbox.pause(stale), StaleEpochError)
      if (provider.capabilities.layers) {
        await assert.rejects(provider.captureLayer(sandbox.id, newId(), stale), StaleEpochError)
      }
      assert.equal((await sandbox.info()).status, 'running')
      assert.equal((await provider.list()).length, 1)
      await sandbox.destroy({ key: newId(), epoch: 1 })
      if (!world().canRestart) return
      await world().restart()
      await assert.rejects(world().provider.create(world().spec(), stale), StaleEpochError, 'it remembers')
    })

    test('twenty in a row, and four at once', async t => {
      const { fence, provider } = world()
      const begun = performance.now()
      for (let n = 0; n < 20; n++) await (await world().create()).destroy(fence)
      t.diagnostic(`${((performance.now() - begun) / 20).toFixed(0)} ms a create and destroy`)
      const many = await Promise.all(Array.from({ length: 4 }, () => world().create()))
      assert.equal((await provider.list()).length, 4)
      await Promise.all(many.map(sandbox => sandbox.destroy(fence)))
      assert.deepEqual(await provider.list(), [])
    })

    test('the list is told while sandboxes are being destroyed', async () => {
      const { fence, provider } = world()
      const ending = await Promise.all(Array.from({ length: 3 }, () => world().create()))
      const stays = await world().create()
      const ended = new AbortController()
      const destroyed = Promise.all(ending.map(sandbox => sandbox.destroy(fence))).finally(() => ended.abort())
      do {
        assert.ok((await provider.list()).some(({ id }) => id === stays.id))
        await setImmediate()
      } while (!ended.signal.aborted)
      await destroyed
    })

    test('what is wrong with the machine is told with what mends it', async () => {
      for (const { name, ok, detail, fix } of await world().provider.diagnose()) {
        assert.ok(name !== '' && detail !== '')
        assert.ok(ok || fix === undefined || fix !== '')
      }
    })
  })
}
