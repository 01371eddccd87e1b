// `npm run bench -- NAME…`: prints JSON lines {name, ours, baseline, ratio, unit}. Plain JavaScript: it runs before anything is installed.
import { ensureReady } from './setup.js'
import { runWithPinnedNode } from './with-node.js'

await ensureReady({ install: true })
await runWithPinnedNode(new URL('../bench/main.ts', import.meta.url), process.argv.slice(2))
