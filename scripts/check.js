// `npm run check [-- --fix]`: types, lint with the direction rules and import circles, format. Plain JavaScript: it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ensureReady } from './setup.js'

const root = fileURLToPath(new URL('..', import.meta.url))
await ensureReady({ install: true, system: false })

const fix = process.argv.includes('--fix')
const checks = {
  tsc: [],
  oxlint: ['--type-aware', '--deny-warnings', ...(fix ? ['--fix'] : [])],
  biome: ['check', '--error-on-warnings', ...(fix ? ['--write'] : [])],
}
let failed = 0
for (const [tool, args] of Object.entries(checks)) {
  const { status } = spawnSync(`${root}node_modules/.bin/${tool}`, args, { cwd: root, stdio: 'inherit' })
  console.error(`${status === 0 ? 'ok  ' : 'FAIL'} ${tool}`)
  if (status !== 0) failed++
}
process.exit(failed === 0 ? 0 : 1)
