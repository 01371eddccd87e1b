/**
 * Entry, run as root as the first process of a new namespace of processes, with a `JailOrder` as its argument and the
 * program's environment as its own. Becomes the program.
 */
import { bindMount, mountFileSystem, mountOverlay, type Overlay } from '../kernel/mount.ts'
import { enterPrivateMountNamespace, enterRoot } from '../kernel/namespaces.ts'
import { becomeUser, dieWithParent } from '../kernel/privileges.ts'

export interface JailOrder {
  /** An empty directory to build the root on. Nothing of it is seen outside. */
  root: string
  /** Without an upper directory it needs two layers. */
  tree: Pick<Overlay, 'lower' | 'upper' | 'work'>
  /** Files and directories of the machine, shown where the tree has one. */
  binds: readonly { source: string; target: string; readOnly?: boolean }[]
  /** Root inside when absent. */
  user?: { uid: number; gid: number }
  cwd: string
  command: string
  args: readonly string[]
}

const DEVICES = ['null', 'zero', 'full', 'random', 'urandom']

function enterJail({ root, tree, binds, user, cwd, command, args }: JailOrder): void {
  enterPrivateMountNamespace()
  mountOverlay(root, tree)
  for (const name of DEVICES) bindMount(`/dev/${name}`, `${root}/dev/${name}`)
  for (const { source, target, readOnly = false } of binds) {
    bindMount(source, `${root}${target}`, { readOnly, noSuid: true, noDev: true })
  }
  mountFileSystem(`${root}/proc`, { source: 'proc', type: 'proc', noSuid: true, noDev: true, noExec: true })
  enterRoot(root)
  process.chdir(cwd)
  process.umask(0o022)
  if (user !== undefined) becomeUser(user)
  dieWithParent()
  process.execve?.(command, [command, ...args])
}

enterJail(JSON.parse(process.argv[2] ?? '') as JailOrder)
