import { lstatSync, mkdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import {
  bindMount,
  idmappedMount,
  type MountOptions,
  mountFileSystem,
  setMountOptions,
} from '@coderunner/runtime-host/kernel/mount'
import { enterPrivateMountNamespace, enterRoot } from '@coderunner/runtime-host/kernel/namespaces'

/** What a child sees of the machine besides the system's programs. Every path is the same inside as outside. */
export interface PrivateRoot {
  /** An empty directory to build it on. It lies in none of the others. */
  staging: string
  account: Account
  /** Read-only. One with `userNamespaceFd` shows its owner's files as the child's own. */
  code: readonly { path: string; userNamespaceFd?: number }[]
  /** Directories it may write, as far as their modes let it. */
  data: readonly string[]
  /** Directories with sockets of others. */
  sockets: readonly string[]
  /** Shown empty where it lies in something of the above. */
  hidden: string
}

export interface Account {
  name: string
  uid: number
  gid: number
}

/** What a machine does not have is left out. */
const systemPaths = (
  '/usr /bin /sbin /lib /lib32 /lib64 /nix/store ' +
  '/etc/ld.so.cache /etc/localtime /etc/hosts /etc/host.conf /etc/nsswitch.conf /etc/gai.conf /etc/resolv.conf ' +
  '/etc/ssl /etc/pki /etc/ca-certificates /etc/crypto-policies'
).split(' ')
const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty']
const inert: MountOptions = { noSuid: true, noDev: true }

/**
 * Gives this thread a mount namespace in which there is nothing else of the machine. Synchronous, for a launcher that
 * goes on to `process.execve`.
 */
export function enterPrivateRoot(root: PrivateRoot): void {
  enterPrivateMountNamespace()
  const { staging } = root
  mountEmpty(staging, 'mode=755,size=4m')
  for (const path of systemPaths) showSystem(path, staging)
  show('/proc', staging, { ...inert, noExec: true })
  addDevices(staging)
  mountEmpty(directoryAt(staging, '/tmp'), 'mode=1777,size=64m')
  addAccount(staging, root.account)
  for (const { path, userNamespaceFd } of root.code) showCode(path, staging, userNamespaceFd)
  if (isPresent(join(staging, root.hidden))) mountEmpty(join(staging, root.hidden), 'mode=755,size=1m')
  for (const path of root.data) show(path, staging, inert)
  for (const path of root.sockets) show(path, staging, { ...inert, readOnly: true, noExec: true })
  enterRoot(staging)
  setMountOptions('/', { readOnly: true })
}

function mountEmpty(target: string, data: string): void {
  mountFileSystem(target, { source: 'coderunner', type: 'tmpfs', data, ...inert })
}

function showSystem(path: string, staging: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSymbolicLink()) {
    show(path, staging, { noSuid: true, readOnly: true })
    return
  }
  const target = readlinkSync(path)
  const absolute = resolve(dirname(path), target)
  // A resolver's file that is replaced by renaming stays visible only through its directory.
  if (/^\/(var\/)?run\//.test(absolute)) show(dirname(absolute), staging, { ...inert, readOnly: true })
  directoryAt(staging, dirname(path))
  symlinkSync(target, join(staging, path))
}

function addDevices(staging: string): void {
  mountFileSystem(directoryAt(staging, '/dev'), {
    source: 'coderunner',
    type: 'tmpfs',
    data: 'mode=755,size=64k',
    noSuid: true,
    noExec: true,
  })
  for (const name of devices) show(`/dev/${name}`, staging, { noSuid: true, noExec: true })
  mountEmpty(directoryAt(staging, '/dev/shm'), 'mode=1777,size=256m')
  symlinkSync('/proc/self/fd', join(staging, '/dev/fd'))
  for (const [fd, name] of ['stdin', 'stdout', 'stderr'].entries()) {
    symlinkSync(`/proc/self/fd/${fd}`, join(staging, '/dev', name))
  }
}

/** Its uid has no account on the machine, and initdb asks for a name. */
function addAccount(staging: string, { name, uid, gid }: Account): void {
  const etc = directoryAt(staging, '/etc')
  const users = ['root:x:0:0:root:/:/usr/sbin/nologin', `${name}:x:${uid}:${gid}:CodeRunner:/tmp:/usr/sbin/nologin`]
  writeFileSync(join(etc, 'passwd'), `${users.join('\n')}\n`)
  writeFileSync(join(etc, 'group'), `root:x:0:\n${name}:x:${gid}:\n`)
}

function showCode(path: string, staging: string, userNamespaceFd: number | undefined): void {
  const options = { ...inert, readOnly: true }
  if (userNamespaceFd !== undefined) {
    try {
      idmappedMount(path, mountPointAt(staging, path), { ...options, userNamespaceFd })
      return
    } catch {
      // Not every file system can (network ones, overlay). The files' own modes decide then.
    }
  }
  show(path, staging, options)
}

function show(path: string, staging: string, options: MountOptions): void {
  bindMount(path, mountPointAt(staging, path), options)
}

function mountPointAt(staging: string, path: string): string {
  if (statSync(path).isDirectory()) return directoryAt(staging, path)
  const target = join(directoryAt(staging, dirname(path)), path.slice(dirname(path).length))
  if (!isPresent(target)) writeFileSync(target, '')
  return target
}

function directoryAt(staging: string, path: string): string {
  const target = join(staging, path)
  mkdirSync(target, { recursive: true, mode: 0o755 })
  return target
}

const isPresent = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined
