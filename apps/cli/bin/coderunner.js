#!/usr/bin/env node
// Plain JavaScript for any Node from 18 up. The program itself is TypeScript, which Node runs from 22.18 on; an older
// one hands over to the Node that is pinned in node_modules, with the same terminal, signals and exit code.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { constants, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)
const runsTypeScript = major > 23 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18)

if (runsTypeScript) {
  // The first versions that strip types announce it as experimental at every start.
  const emitWarning = process.emitWarning.bind(process)
  process.emitWarning = (warning, ...rest) => {
    if (rest[0] !== 'ExperimentalWarning') emitWarning(warning, ...rest)
  }
  // A third of the time to start. In the user's own directory: nobody else may write what runs here.
  module.enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'coderunner', 'compiled'))
  const { main } = await import('../src/main.ts')
  process.exit(await main())
} else {
  const node = pinnedNode()
  if (node === undefined) {
    console.error(
      `Error: coderunner needs Node.js 22.18 or later; this is ${process.version}. Run \`npm ci\` or install one.`,
    )
    process.exit(1)
  }
  handOver(node)
}

function pinnedNode() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/package.json`)
    const node = join(dirname(manifest), 'bin', 'node')
    return existsSync(node) ? node : undefined
  } catch {
    return undefined // Not installed.
  }
}

function handOver(node) {
  const program = fileURLToPath(import.meta.url)
  const child = spawn(node, [program, ...process.argv.slice(2)], { stdio: 'inherit' })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  child.on('error', error => {
    console.error(`Error: ${node} cannot be started: ${error.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]))
}
