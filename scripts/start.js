// `npm start`: installs what is missing, then starts CodeRunner. Plain JavaScript: it runs before anything is installed.
import { ensureReady } from './setup.js'
import { runWithPinnedNode } from './with-node.js'

await ensureReady({ install: true, root: 'npm start' })
await runWithPinnedNode(new URL('../apps/coderunnerd/src/main.ts', import.meta.url), process.argv.slice(2))
