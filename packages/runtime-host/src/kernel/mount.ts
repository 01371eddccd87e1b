/** Mounts, made in process. Every function leaves nothing half done when it throws. */
import { closeSync, openSync } from 'node:fs'
import { call, callInBackground, KernelError } from './libc.ts'

const MS_RDONLY = 0x1
const MS_NOSUID = 0x2
const MS_NODEV = 0x4
const MS_NOEXEC = 0x8
const MS_REMOUNT = 0x20
const MS_BIND = 0x1000
const MS_REC = 0x4000
const propagationFlags = { private: 0x40000, slave: 0x80000, shared: 0x100000 } as const

const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

const SYS_OPEN_TREE = 428
const SYS_MOVE_MOUNT = 429
const SYS_MOUNT_SETATTR = 442
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0x80000
const AT_EMPTY_PATH = 0x1000
const AT_RECURSIVE = 0x8000
const MOVE_MOUNT_F_EMPTY_PATH = 4
const AT_FDCWD = -100

const MOUNT_ATTR_RDONLY = 1n
const MOUNT_ATTR_NOSUID = 2n
const MOUNT_ATTR_NODEV = 4n
const MOUNT_ATTR_NOEXEC = 8n
const MOUNT_ATTR_IDMAP = 0x100000n

export interface MountOptions {
  readOnly?: boolean
  /** Set-user-id bits have no effect. */
  noSuid?: boolean
  /** Device nodes cannot be opened. */
  noDev?: boolean
  noExec?: boolean
}

export interface Overlay extends MountOptions {
  /** Directories, the topmost first. */
  lower: readonly string[]
  /** On one file system with `work`. Without them the mount is read-only. */
  upper?: string
  work?: string
}

const mountFlags = (options: MountOptions): number =>
  (options.readOnly === true ? MS_RDONLY : 0) |
  (options.noSuid === true ? MS_NOSUID : 0) |
  (options.noDev === true ? MS_NODEV : 0) |
  (options.noExec === true ? MS_NOEXEC : 0)

const mountAttributes = (options: MountOptions): bigint =>
  (options.readOnly === true ? MOUNT_ATTR_RDONLY : 0n) |
  (options.noSuid === true ? MOUNT_ATTR_NOSUID : 0n) |
  (options.noDev === true ? MOUNT_ATTR_NODEV : 0n) |
  (options.noExec === true ? MOUNT_ATTR_NOEXEC : 0n)

/**
 * Mounts an overlay with `nodev`. Set-user-id files keep their meaning unless `noSuid` says otherwise: inside a user
 * namespace they can only become ids of that namespace.
 */
export function mountOverlay(target: string, overlay: Overlay): void {
  const layers = [`lowerdir=${overlay.lower.map(escapeLower).join(':')}`]
  if (overlay.upper !== undefined && overlay.work !== undefined) {
    layers.push(`upperdir=${escapeOption(overlay.upper)}`, `workdir=${escapeOption(overlay.work)}`)
  }
  const data = layers.join(',')
  if (Buffer.byteLength(data) > 4095) throw new Error(`mount overlay on ${target}: ${data.length} bytes of layer names`)
  mountFileSystem(target, { source: 'overlay', type: 'overlay', data, noDev: true, ...overlay })
}

const escapeOption = (path: string): string => path.replaceAll('\\', '\\\\').replaceAll(',', '\\,')
const escapeLower = (path: string): string => escapeOption(path).replaceAll(':', '\\:')

/** Any file system by its kernel name: `tmpfs`, `proc`, `ext4` … `data` is its own option string. */
export function mountFileSystem(
  target: string,
  options: MountOptions & { source: string; type: string; data?: string },
): void {
  const { source, type, data = '' } = options
  call('mount', `mount ${type} ${source} on ${target}`, source, target, type, mountFlags(options), data || null)
}

/** Shows `source` (a file or directory) at `target`. With `recursive`, what is mounted below it too. */
export function bindMount(source: string, target: string, options: MountOptions & { recursive?: boolean } = {}): void {
  const recursive = options.recursive === true
  const attempted = `bind ${source} on ${target}`
  call('mount', attempted, source, target, null, MS_BIND | (recursive ? MS_REC : 0), null)
  try {
    setMountOptions(target, options, recursive)
  } catch (error) {
    unmount(target)
    throw error
  }
}

/** Adds options to an existing mount; what is not named stays as it is. */
export function setMountOptions(target: string, options: MountOptions, recursive = false): void {
  const attributes = mountAttributes(options)
  if (attributes === 0n) return
  setAttributes(AT_FDCWD, target, recursive ? AT_RECURSIVE : 0, attributes, 0n, `set mount options of ${target}`)
}

/** Remounts a whole file system (not only one view of it) read-only. */
export function remountReadOnly(target: string): void {
  call('mount', `remount ${target} read-only`, null, target, null, MS_REMOUNT | MS_RDONLY, null)
}

/** Whether mounts made at and below `target` are seen elsewhere. It must be a mount point. */
export function setPropagation(
  target: string,
  propagation: keyof typeof propagationFlags,
  options: { recursive?: boolean } = {},
): void {
  const flags = propagationFlags[propagation] | (options.recursive === true ? MS_REC : 0)
  call('mount', `make ${target} ${propagation}`, null, target, null, flags, null)
}

/**
 * Shows `source` at `target` with owners mapped by a user namespace (see `openUserNamespace`). `source` may lie below a
 * mount, but an overlay cannot be mapped (EINVAL): map its layers.
 */
export function idmappedMount(
  source: string,
  target: string,
  options: MountOptions & { userNamespaceFd: number },
): void {
  const attempted = `show ${source} on ${target} with mapped owners`
  const tree = call('openTree', attempted, SYS_OPEN_TREE, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
  try {
    const attributes = mountAttributes(options) | MOUNT_ATTR_IDMAP
    setAttributes(tree, '', AT_EMPTY_PATH, attributes, BigInt(options.userNamespaceFd), attempted)
    call('moveMount', attempted, SYS_MOVE_MOUNT, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
  } finally {
    closeSync(tree)
  }
}

function setAttributes(
  fd: number,
  path: string,
  flags: number,
  attributes: bigint,
  userNamespaceFd: bigint,
  attempted: string,
): void {
  const structure = new BigUint64Array([attributes, 0n, 0n, userNamespaceFd])
  call('mountSetattr', attempted, SYS_MOUNT_SETATTR, fd, path, flags, structure, structure.byteLength)
}

const isAbsent = (error: unknown): boolean =>
  error instanceof KernelError && (error.code === 'EINVAL' || error.code === 'ENOENT')

/**
 * Takes the topmost mount at `target` out of sight; it ends when its last user does. Nothing mounted there is no error.
 * @returns whether something was mounted
 */
export function unmount(target: string): boolean {
  try {
    call('umount2', `unmount ${target}`, target, MNT_DETACH | UMOUNT_NOFOLLOW)
    return true
  } catch (error) {
    if (isAbsent(error)) return false
    throw error
  }
}

/**
 * Unmounts a file system that must be at rest afterwards, writing what is in memory, on a thread of the pool. Absence
 * is no error; one that is in use is refused with EBUSY.
 */
export async function unmountAtRest(target: string): Promise<void> {
  try {
    await callInBackground('umount2', `unmount ${target}`, target, UMOUNT_NOFOLLOW)
  } catch (error) {
    if (!isAbsent(error)) throw error
  }
}

/** Writes everything of the file system that holds `path` to its disk. */
export async function syncFileSystem(path: string): Promise<void> {
  const fd = openSync(path, 'r')
  try {
    await callInBackground('syncfs', `write the file system of ${path} to disk`, fd)
  } finally {
    closeSync(fd)
  }
}
