/** Paths in directories that a tenant may write: looked up once, then used by descriptor. */
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs'

const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000

/** A file found, not opened: nothing runs when it is a fifo or a device, and it stays the one that was looked at. */
export interface PathHandle extends Disposable {
  readonly fd: number
  readonly stats: Stats
  /** The same file, whatever its old name means now. */
  readonly path: string
}

/** The last component is not followed when it is a symbolic link: then `stats` is the link's own. */
export function openPathHandle(path: string): PathHandle {
  const fd = openSync(path, O_PATH | O_CLOEXEC | constants.O_NOFOLLOW)
  try {
    return { fd, stats: fstatSync(fd), path: `/proc/self/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** A unix socket to connect to, by its handle's path. Anything else there is refused. */
export function openSocketHandle(path: string): PathHandle {
  const handle = openPathHandle(path)
  if (handle.stats.isSocket()) return handle
  handle[Symbol.dispose]()
  throw new Error(`${path} is not a socket`)
}
