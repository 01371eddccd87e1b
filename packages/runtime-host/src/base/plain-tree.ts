/**
 * Copies what somebody without rights has written, as root: plain files and directories and nothing else, each looked
 * up once and then used by its descriptor, so that no link is ever followed.
 */
import { constants, readdirSync } from 'node:fs'
import { chmod, copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openPathHandle, type PathHandle } from '../kernel/path-handle.ts'

const MAX_FILES = 50_000
const MAX_DEPTH = 64

export interface PlainCopy {
  /** Paths relative to the copied tree's root; a directory that is left out is left out with all in it. */
  isWanted?: (path: string) => boolean
}

/** Opens a name below a directory, component by component. @throws when one of them is no directory or plain file */
export function openBelow(directory: string | PathHandle, names: readonly string[]): PathHandle {
  let handle = openPathHandle(typeof directory === 'string' ? directory : `${directory.path}/.`)
  for (const name of names) {
    try {
      if (!handle.stats.isDirectory()) throw new Error(`${name} does not lie in a directory`)
      const next = openPathHandle(join(handle.path, name))
      handle[Symbol.dispose]()
      handle = next
    } catch (error) {
      handle[Symbol.dispose]()
      throw error
    }
  }
  return handle
}

/** Everyone may read the copy, whatever the umask and the modes of what it comes from. Links are left out. */
export async function copyPlainTree(source: PathHandle, target: string, { isWanted = () => true }: PlainCopy = {}) {
  let files = 0
  const copy = async (from: PathHandle, path: string, depth: number): Promise<void> => {
    if (from.stats.isFile()) return copyPlainFile(from, join(target, path))
    if (!from.stats.isDirectory()) return
    if (depth > MAX_DEPTH) throw new Error(`${path} lies too deep`)
    await makeDirectory(join(target, path))
    for (const name of readdirSync(from.path)) {
      const inner = join(path, name)
      if (!isWanted(inner)) continue
      if (++files > MAX_FILES) throw new Error(`There are more than ${MAX_FILES} files.`)
      using handle = openPathHandle(join(from.path, name))
      await copy(handle, inner, depth + 1)
    }
  }
  await copy(source, '', 0)
}

export async function copyPlainFile(source: PathHandle, target: string, mode?: number): Promise<void> {
  if (!source.stats.isFile()) throw new Error(`What was to become ${target} is no plain file.`)
  await copyFile(source.path, target, constants.COPYFILE_FICLONE)
  await chmod(target, mode ?? ((source.stats.mode & 0o100) === 0 ? 0o644 : 0o755))
}

export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true })
  await chmod(path, 0o755)
}
