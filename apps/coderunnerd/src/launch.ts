/**
 * Run as root with a `LaunchOrder` as its argument and the child's environment as its own. Becomes the child: a root
 * directory of its own, its user, no capability, no way to gain one, and no descriptor but stdio and `keptFds`.
 */
import { call } from '@coderunner/runtime-host/kernel/libc'
import { becomeUser } from '@coderunner/runtime-host/kernel/privileges'
import { enterPrivateRoot, type PrivateRoot } from './private-root.ts'

export interface LaunchOrder {
  root: PrivateRoot
  command: string
  args: readonly string[]
  keptFds: readonly number[]
}

const FIONCLEX = 0x5450

function launch({ root, command, args, keptFds }: LaunchOrder): void {
  enterPrivateRoot(root)
  // Node marks every descriptor but the first three to be closed.
  for (const fd of keptFds) call('ioctlNumber', `keep descriptor ${fd}`, fd, FIONCLEX, 0)
  process.umask(0o077)
  becomeUser(root.account)
  process.execve?.(command, [command, ...args])
}

launch(JSON.parse(process.argv[2] ?? '') as LaunchOrder)
