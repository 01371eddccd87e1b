// `npm test [-- FILES…]`: installs what the tests need, then runs them with the pinned Node. Plain JavaScript: it runs before anything is installed.
import { ensureReady } from './setup.js'
import { runWithPinnedNode } from './with-node.js'

await ensureReady({ install: true })
await runWithPinnedNode(new URL('./test.ts', import.meta.url), process.argv.slice(2))
