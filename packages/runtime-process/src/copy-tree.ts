import { constants } from 'node:fs'
import { chmod, copyFile, lstat, mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'

const atOnce = 16

/** Copies what lies in `source` over what lies in `target`, sharing blocks where the file system can. */
export async function copyTree(source: string, target: string): Promise<void> {
  const directories = [{ source, target, mode: 0o755 }]
  for (const directory of directories) {
    const entries = await readdir(directory.source, { withFileTypes: true })
    const files: (() => Promise<void>)[] = []
    for (const entry of entries) {
      const from = join(directory.source, entry.name)
      const to = join(directory.target, entry.name)
      if (entry.isDirectory()) {
        if (await isOther(to)) await rm(to, { force: true })
        await mkdir(to, { recursive: true })
        directories.push({ source: from, target: to, mode: (await lstat(from)).mode & 0o777 })
      } else if (entry.isSymbolicLink()) {
        files.push(async () => {
          await rm(to, { recursive: true, force: true })
          await symlink(await readlink(from), to)
        })
      } else if (entry.isFile()) {
        files.push(async () => {
          // Never through a link that a lower layer has there.
          await rm(to, { recursive: true, force: true })
          await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
        })
      }
    }
    for (let at = 0; at < files.length; at += atOnce) {
      await Promise.all(files.slice(at, at + atOnce).map(copy => copy()))
    }
  }
  // Last: a directory may be one that its owner cannot write to.
  for (const { target, mode } of directories.slice(1)) await chmod(target, mode)
}

/** Bytes of everything below. */
export async function treeBytes(directory: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).size
  }
  return bytes
}

async function isOther(path: string): Promise<boolean> {
  const about = await lstat(path).catch(() => undefined)
  return about !== undefined && !about.isDirectory()
}
