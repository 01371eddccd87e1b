/**
 * A sandbox's disk: an ext4 file system in a sparse file, so that what it writes is limited and its removal is one
 * unlink. It is as lean as it can be; a journal would only save what is thrown away after a crash anyway.
 */
import { execFile } from 'node:child_process'
import { chownSync, closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { SandboxFailedError } from '@coderunner/runtime'
import { dataExtents, type Extent } from './kernel/extents.ts'
import { attachedLoops, mountImage } from './kernel/loop.ts'
import { unmount } from './kernel/mount.ts'
import { systemEnvironment } from './kernel/system-programs.ts'
import { USER_ID } from './oci-config.ts'

const run = promisify(execFile)

/** No journal, no reserve, no room to grow, and nothing written that can be written when it is needed. */
const FEATURES = '^has_journal,^resize_inode'
const EXTENDED = 'lazy_itable_init=1,nodiscard,packed_meta_blocks=1'
const LEAN = ['-q', '-F', '-m', '0', '-O', FEATURES, '-E', EXTENDED]

/** Directories at the top of a disk. */
export const onDisk = {
  /** Below `root`: what the sandbox changes outside the application directory. */
  rootUpper: 'root',
  rootWork: 'root-work',
  /** What it writes in the application directory; a captured layer's tree. */
  appUpper: 'app',
  appWork: 'app-work',
  /** The agent's socket. On this disk, because the sandbox may fill it. */
  agent: 'cr',
} as const

/** Makes the image and mounts it on `target`, with its directories in it. */
export async function createDisk(image: string, target: string, sizeMb: number): Promise<void> {
  await formatImage(image, sizeMb)
  mountImage(image, target, { discard: true, noSuid: true })
  for (const name of Object.values(onDisk)) mkdirSync(join(target, name), { mode: 0o755 })
  chownSync(join(target, onDisk.appUpper), USER_ID, USER_ID)
}

/** What mkfs writes for a size: the same every time, a tenth of a megabyte in a few places. */
const formatted = new Map<number, Promise<readonly Extent[]>>()
const FORMATS_KEPT = 16

/** Makes an empty file system in a sparse file. mkfs is asked once for each size, which takes 10 ms. */
export async function formatImage(image: string, sizeMb: number): Promise<void> {
  const bytes = Math.floor(sizeMb * 1024 ** 2)
  const known = formatted.get(bytes)
  const file = openSync(image, 'wx+', 0o600)
  try {
    ftruncateSync(file, bytes)
    if (known !== undefined) {
      for (const { offset, data } of await known) writeSync(file, data, 0, data.length, offset)
      return
    }
    const format = run('mkfs.ext4', [...LEAN, image], { env: systemEnvironment }).then(() => dataExtents(file))
    if (formatted.size >= FORMATS_KEPT) formatted.delete(formatted.keys().next().value ?? 0)
    formatted.set(bytes, format)
    format.catch(() => formatted.delete(bytes))
    await format
  } finally {
    closeSync(file)
  }
}

const REST_TIMEOUT_MS = 10_000

/**
 * Unmounts a disk whose sandbox has ended and resolves when the image is whole and nobody's: the kernel lets a mount go
 * a little after the last process that saw it, and tells nobody.
 */
export async function putToRest(image: string, target: string): Promise<void> {
  unmount(target)
  const deadline = Date.now() + REST_TIMEOUT_MS
  for (let pauseMs = 1; (await attachedLoops()).some(loop => loop.imagePath === image); pauseMs *= 2) {
    if (Date.now() > deadline) throw new SandboxFailedError('The sandbox’s disk is still in use 10 s after its end.')
    await delay(Math.min(pauseMs, 50))
  }
}
