import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Limits } from '../sandbox.ts'
import { type ConformanceWorld, readOutput, run, skip } from './world.ts'

export function limitTests(world: () => ConformanceWorld): void {
  const enforced = (limit: keyof Limits): boolean => world().provider.capabilities.limits.has(limit)

  suite('limits', () => {
    test('memory', async t => {
      if (!enforced('memoryMb')) return skip(t, 'memory is not limited')
      const sandbox = await world().command(world().programs.hungry)
      await readOutput(sandbox)
      const { exit } = await sandbox.info()
      assert.deepEqual(exit, { code: 137, outOfMemory: true })
    })

    test('processes', async t => {
      if (!enforced('pids')) return skip(t, 'processes are not limited')
      const sandbox = await world().create()
      assert.match((await run(sandbox, world().programs.crowd)).stdout, /refused/)
      assert.equal((await run(sandbox, ['echo', 'well'])).stdout, 'well\n', 'it recovers')
    })

    test('disk', async t => {
      if (!enforced('diskMb')) return skip(t, 'disk is not limited')
      const sandbox = await world().create()
      assert.equal((await run(sandbox, world().programs.fill)).stdout, 'full\n')
      assert.equal((await run(sandbox, world().programs.fill, { cwd: '/tmp' })).stdout, 'full\n')
      await sandbox.files.remove('big')
      await sandbox.files.remove('/tmp/big')
      await sandbox.files.write('small', Buffer.alloc(1000))
    })

    test('processors', async t => {
      if (!enforced('cpus')) return skip(t, 'processors are not limited')
      const limits = { ...world().spec().limits, cpus: 0.2 }
      const sandbox = await world().create({ limits })
      const before = await sandbox.usage()
      await run(sandbox, ['sh', '-c', 'while :; do :; done'], { timeoutMs: 2000 })
      const used = (await sandbox.usage()).cpuSeconds - before.cpuSeconds
      assert.ok(used > 0.1 && used < 0.8, `used ${used} s of a fifth of 2 s`)
    })

    test('usage', async () => {
      const sandbox = await world().create()
      const usage = await sandbox.usage()
      for (const value of Object.values(usage)) assert.ok(Number.isFinite(value) && value >= 0)
    })
  })
}
