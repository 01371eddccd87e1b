/** Directories that take long to make, are never changed afterwards and are shared by all instances of a machine. */
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { callInBackground } from '../kernel/libc.ts'
import { unmount } from '../kernel/mount.ts'

const LOCK_EX = 2

const building = new Map<string, Promise<void>>()

/**
 * Makes `path` with `build`, unless it is there. It is built under another name and renamed, so it is whole or not at all;
 * of several processes one builds and the others wait. The kernel lets go of the lock of one that dies.
 */
export async function buildOnce(path: string, build: (temporaryPath: string) => Promise<void>): Promise<void> {
  const running = building.get(path) ?? buildLocked(path, build)
  building.set(path, running)
  try {
    await running
  } finally {
    building.delete(path)
  }
}

async function buildLocked(path: string, build: (temporaryPath: string) => Promise<void>): Promise<void> {
  if (await exists(path)) return
  await makeReadableDirectory(dirname(path))
  const lock = await open(`${path}.lock`, 'a')
  try {
    await callInBackground('flock', `lock ${path}`, lock.fd, LOCK_EX)
    if (await exists(path)) return
    const temporaryPath = `${path}.partial`
    await removeTree(temporaryPath)
    try {
      await build(temporaryPath)
      await rename(temporaryPath, path)
    } catch (error) {
      await removeTree(temporaryPath)
      throw error
    }
  } finally {
    await lock.close()
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** Sandboxes' users look through it, whatever the umask was. */
async function makeReadableDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true })
  await chmod(path, 0o755)
}

/** Removes a tree of ours; what an interrupted builder left mounted in it is unmounted, not emptied. */
async function removeTree(path: string): Promise<void> {
  const table = await readFile('/proc/self/mountinfo', 'utf8')
  const mounted = table.split('\n').flatMap(line => {
    const target = line.split(' ')[4] ?? ''
    return target === path || target.startsWith(`${path}/`) ? [target] : []
  })
  for (const target of mounted.toReversed()) unmount(target)
  await rm(path, { recursive: true, force: true })
}
