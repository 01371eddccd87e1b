import { createReadStream, createWriteStream } from 'node:fs'
import { lstat, mkdir, open, readdir, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AgentError } from '../agent-error.ts'
import { listedEntries, type WireFileEntry } from '../agent-wire.ts'

let writes = 0

/** Files with the rights of this process. Relative paths start at `root`. */
export class FileTree {
  #root: string

  constructor(root: string) {
    this.#root = root
  }

  resolve(path: string): string {
    if (path.includes('\0')) throw new AgentError('invalid_request', 'A path cannot hold a zero byte.')
    return resolve(this.#root, path)
  }

  /** `size` is absent where the system does not know it beforehand, as below /proc. */
  async read(path: string): Promise<{ size?: number; content: Readable }> {
    const file = await open(this.resolve(path), 'r')
    const about = await file.stat()
    if (!about.isFile()) {
      await file.close()
      throw new AgentError('invalid_request', `${path} is no regular file.`)
    }
    if (about.size === 0) return { content: createReadStream('', { fd: file }) }
    // Not more than announced, should the file grow meanwhile.
    return { size: about.size, content: createReadStream('', { fd: file, start: 0, end: about.size - 1 }) }
  }

  /** All or nothing: a reader sees the old file or the new one. Writes through a link; makes missing directories. */
  async write(path: string, content: Readable, mode: number | undefined): Promise<void> {
    const asked = this.resolve(path)
    await mkdir(dirname(asked), { recursive: true })
    const target = await realpath(asked).catch(() => asked)
    const present = await stat(target).catch(() => undefined)
    if (present !== undefined && !present.isFile()) {
      throw new AgentError('invalid_request', `${path} is no regular file.`)
    }
    const temporary = join(dirname(target), `.cr-${process.pid}-${++writes}.tmp`)
    try {
      const file = await open(temporary, 'wx', 0o600)
      // By the descriptor: the umask has no say in a mode that was asked for.
      await file.chmod(mode ?? (present === undefined ? 0o644 : present.mode & 0o777))
      await pipeline(content, createWriteStream('', { fd: file }))
      await rename(temporary, target)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }

  async stat(path: string): Promise<WireFileEntry> {
    const absolute = this.resolve(path)
    return entryOf(absolute, basename(absolute))
  }

  /** What lies below a directory, `depth` levels deep, parents before children, each directory by name. */
  async list(path: string, depth: number): Promise<WireFileEntry[]> {
    const entries: WireFileEntry[] = []
    const visit = async (directory: string, level: number): Promise<void> => {
      const names = (await readdir(directory)).sort()
      for (const name of names) {
        const entry = await entryOf(join(directory, name), name).catch(() => undefined)
        // Gone since the directory was read.
        if (entry === undefined) continue
        if (entries.push(entry) > listedEntries) {
          throw new AgentError('too_large', `There are more than ${listedEntries} files below ${path}.`)
        }
        if (entry.type === 'directory' && level < depth) await visit(entry.path, level + 1)
      }
    }
    await visit(this.resolve(path), 1)
    return entries
  }

  async makeDir(path: string): Promise<void> {
    await mkdir(this.resolve(path), { recursive: true })
  }

  async remove(path: string): Promise<void> {
    await rm(this.resolve(path), { recursive: true, force: true })
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.resolve(from)
    await lstat(source)
    const target = this.resolve(to)
    await mkdir(dirname(target), { recursive: true })
    await rename(source, target)
  }
}

async function entryOf(path: string, name: string): Promise<WireFileEntry> {
  const about = await lstat(path)
  const type = about.isFile()
    ? 'file'
    : about.isDirectory()
      ? 'directory'
      : about.isSymbolicLink()
        ? 'symlink'
        : 'other'
  return {
    name,
    path,
    type,
    size: about.size,
    mode: about.mode & 0o7777,
    modifiedAt: about.mtime.toISOString(),
    ...(type === 'symlink' && { symlinkTarget: await readlink(path) }),
  }
}
