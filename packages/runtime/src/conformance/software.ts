import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { AppError } from '@coderunner/contract'
import type { SandboxSpec } from '../sandbox.ts'
import { type ConformanceWorld, isNotSupported, readOutput, run, skip, textOf } from './world.ts'

/** Years old, and still of use to somebody. */
const OTHER_NODE = '20.19.5'

export function softwareTests(world: () => ConformanceWorld): void {
  const own = async (): Promise<string> => {
    const sandbox = await world().command(world().programs.nodeVersion)
    return textOf((await readOutput(sandbox)).lines, 'stdout').join('')
  }

  suite('software', () => {
    test('the Node that was asked for', async t => {
      const { provider, programs } = world()
      if (!provider.capabilities.nodeVersions) return skip(t, 'there is one Node')
      const sandbox = await world().create({ nodeVersion: OTHER_NODE, limits: roomy })
      assert.equal((await run(sandbox, programs.nodeVersion)).stdout, `v${OTHER_NODE}\n`)
      assert.match((await run(sandbox, ['npm', '--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
      const command = await world().command(programs.nodeVersion, { nodeVersion: OTHER_NODE })
      assert.deepEqual(textOf((await readOutput(command)).lines, 'stdout'), [`v${OTHER_NODE}`])
    })

    test('a Node of another major version is refused where there is one only', async t => {
      const { provider } = world()
      if (provider.capabilities.nodeVersions) return skip(t, 'there are all')
      await assert.rejects(world().create({ nodeVersion: OTHER_NODE }), isNotSupported)
      const same = (await own()).replace(/^v/, '').replace(/\d+$/, '9999')
      await world().create({ nodeVersion: same })
    })

    test('the package manager that was asked for', async t => {
      const { provider } = world()
      const packageManager = { name: 'pnpm', version: '9.15.9' } as const
      if (!provider.capabilities.packageManagers) {
        await assert.rejects(world().create({ packageManager }), isNotSupported)
        return skip(t, 'there are none')
      }
      const sandbox = await world().create({ packageManager, limits: roomy })
      assert.equal((await run(sandbox, ['pnpm', '--version'])).stdout, '9.15.9\n')
      assert.match((await run(sandbox, ['npm', '--version'])).stdout, /^\d/)
    })

    test('what is no exact version is refused', async () => {
      const bad: Partial<SandboxSpec>[] = [
        { nodeVersion: '20' },
        { nodeVersion: '^20.0.0' },
        { nodeVersion: '../../20.0.0' },
        { packageManager: { name: 'pnpm', version: 'latest' } },
        { packageManager: { name: 'npx' as 'npm', version: '1.0.0' } },
      ]
      for (const rest of bad) await assert.rejects(world().create(rest), AppError, JSON.stringify(rest))
      assert.deepEqual(await world().provider.list(), [])
    })
  })
}

const roomy = { memoryMb: 512, cpus: 2, pids: 128, diskMb: 256 }
