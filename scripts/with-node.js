// `node with-node.js FILE ARGS…` runs FILE with the Node that is pinned in node_modules. Plain JavaScript for Node 20.
import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { constants } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('..', import.meta.url))

/** The pinned Node's program; undefined when it is not installed or there is none for this machine. */
export function pinnedNode() {
  const path = join(repository, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  return existsSync(path) ? path : undefined
}

/**
 * Becomes the pinned Node where this one can (22.15 and later); else runs it with the same terminal, hands signals on,
 * and ends as it ends. Never returns.
 * @param {string | URL} file
 * @param {readonly string[]} args
 */
export async function runWithPinnedNode(file, args) {
  const node = pinnedNode() ?? (Number(process.versions.node.split('.')[0]) >= 24 ? process.execPath : undefined)
  if (node === undefined) {
    console.error(`The pinned Node for ${process.platform}-${process.arch} is not installed: run npm install.`)
    process.exit(1)
  }
  const program = file instanceof URL ? fileURLToPath(file) : resolve(file)
  if (process.execve !== undefined) {
    process.removeAllListeners('warning').on('warning', () => {}) // that execve is experimental
    process.execve(node, [node, program, ...args], process.env)
  }
  const child = spawn(node, [program, ...args], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal has sent Ctrl-C to the child as well; a second one would mean “at once”.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  const [code, signal] = await new Promise((settle, fail) => {
    child.once('error', fail).once('exit', (...end) => settle(end))
  })
  process.exit(signal === null ? code : 128 + constants.signals[signal])
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [file, ...args] = process.argv.slice(2)
  if (file === undefined) {
    console.error('Usage: node scripts/with-node.js FILE [ARGUMENT…]')
    process.exit(2)
  }
  await runWithPinnedNode(file, args)
}
