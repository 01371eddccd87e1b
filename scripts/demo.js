// `npm run demo [-- --once]`: installs what is missing, then shows CodeRunner with an example. Plain JavaScript: it runs before anything is installed.
import { ensureReady } from './setup.js'
import { runWithPinnedNode } from './with-node.js'

await ensureReady({ install: true, root: 'npm run demo' })
await runWithPinnedNode(new URL('./demo.ts', import.meta.url), process.argv.slice(2))
