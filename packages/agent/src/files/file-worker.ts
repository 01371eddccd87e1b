/**
 * Entry of the file worker: serves the file requests of a root agent with the user's rights. It takes its socket, which
 * only root may reach, while it still is root, and then becomes the user for good. Ends with its stdin.
 */
import { createExchangeServer } from '../http-exchange.ts'
import { handleFiles } from './file-routes.ts'
import { FileTree } from './file-tree.ts'

const [socketPath = '', appDir = '', uid, gid] = process.argv.slice(2)

process.umask(0o077)
const tree = new FileTree(appDir)
const server = createExchangeServer(exchange => handleFiles(exchange, tree))
server.listen(socketPath, () => {
  process.umask(0o022)
  process.setgroups?.([])
  process.setgid?.(Number(gid))
  process.setuid?.(Number(uid))
  process.stdout.write('ready\n')
})
process.stdin.resume().once('end', () => process.exit())
