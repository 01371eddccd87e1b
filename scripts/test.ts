/**
 * Runs the test files (all, or the ones named) with one PostgreSQL cluster for the whole run, then looks for what the
 * tests left on the machine. Slow end-to-end files run beside the fast ones, as many at once as there are processors.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { glob } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { TestCluster } from '@coderunner/database/testing'
import { machineState } from './machine-state.ts'

const patterns = ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'test/**/*.test.ts']
const named = process.argv.slice(2)
const files = named.length > 0 ? named : await Array.fromAsync(glob(patterns))
// The long ones first, so that none of them is alone at the end.
files.sort((a, b) => Number(b.startsWith('test/')) - Number(a.startsWith('test/')) || a.localeCompare(b))

// As coderunnerd does for itself: children of other users read what tests make.
process.umask(0o022)
const before = await machineState()
await using cluster = await TestCluster.start()
const run = spawn(
  process.execPath,
  ['--test', `--test-concurrency=${availableParallelism()}`, '--test-timeout=600000', '--test-reporter=spec', ...files],
  { stdio: 'inherit', env: { ...process.env, CODERUNNER_TEST_DATABASE_URL: cluster.url } },
)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => run.kill(signal))
const [code] = (await once(run, 'exit')) as [number | null]

const left = (await machineState()).filter(line => !before.includes(line))
for (const line of left) console.error(`left behind: ${line}`)
process.exitCode = code !== 0 || left.length > 0 ? 1 : 0
