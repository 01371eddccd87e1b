import { basename, dirname, join, relative, resolve } from 'node:path/posix'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { AppError } from '@coderunner/contract'
import { extract, pack } from 'tar-stream'
import { FileNotFoundError } from '../errors.ts'
import { Audience } from '../mailbox.ts'
import type { FileChange, FileEntry, SandboxFiles } from '../sandbox.ts'

interface MemoryNode {
  type: 'file' | 'directory' | 'symlink'
  content: Buffer
  mode: number
  modifiedAt: Date
  symlinkTarget?: string
}

/** A tree by absolute path below `/`. Nodes are replaced, never changed, so that trees can share them. */
export class MemoryFiles implements SandboxFiles {
  #nodes = new Map<string, MemoryNode>([['/', directory()]])
  #appDir: string
  #changes = new Audience<FileChange>()

  constructor(appDir: string) {
    this.#appDir = appDir
    this.#makeDirs(appDir)
  }

  /** Everything below the application directory, by relative path. */
  snapshot(): Map<string, MemoryNode> {
    const nodes = [...this.#below(this.#appDir)]
    return new Map(nodes.map(path => [relative(this.#appDir, path), this.#node(path)]))
  }

  add(nodes: ReadonlyMap<string, MemoryNode>): void {
    for (const [path, node] of nodes) this.#nodes.set(join(this.#appDir, path), node)
  }

  async read(path: string): Promise<Readable> {
    const node = this.#node(this.#real(path, true), path)
    if (node.type !== 'file') throw new AppError('invalid_request', `${path} is no regular file.`)
    return Readable.from([node.content], { objectMode: false })
  }

  async write(path: string, content: Readable | Buffer, options: { mode?: number } = {}): Promise<void> {
    const bytes = Buffer.isBuffer(content) ? content : await buffer(content)
    const target = this.#real(path, true)
    const present = this.#nodes.get(target)
    if (present !== undefined && present.type !== 'file') {
      throw new AppError('invalid_request', `${path} is no regular file.`)
    }
    this.#makeDirs(dirname(target))
    const mode = options.mode ?? present?.mode ?? 0o644
    this.#nodes.set(target, { type: 'file', content: bytes, mode, modifiedAt: new Date() })
    this.#changes.tell({ type: present === undefined ? 'create' : 'write', path: target })
  }

  async stat(path: string): Promise<FileEntry> {
    return this.#entry(this.#real(path, false), path)
  }

  async list(path: string, options: { depth?: number } = {}): Promise<FileEntry[]> {
    const top = this.#real(path, true)
    if (this.#node(top, path).type !== 'directory') throw new AppError('invalid_request', `${path} is no directory.`)
    const depth = options.depth ?? 1
    return [...this.#below(top)]
      .filter(found => relative(top, found).split('/').length <= depth)
      .sort((a, b) => (a.split('/').join('\0') < b.split('/').join('\0') ? -1 : 1))
      .map(found => this.#entry(found, found))
  }

  async makeDir(path: string): Promise<void> {
    this.#makeDirs(this.#real(path, true))
  }

  async remove(path: string): Promise<void> {
    const target = this.#real(path, false)
    for (const found of [...this.#below(target), target]) {
      if (this.#nodes.delete(found)) this.#changes.tell({ type: 'remove', path: found })
    }
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#real(from, false)
    const moved = [source, ...this.#below(source)].map(path => [path, this.#node(path, from)] as const)
    const target = this.#real(to, false)
    this.#makeDirs(dirname(target))
    for (const [path] of moved) this.#nodes.delete(path)
    for (const [path, node] of moved) this.#nodes.set(join(target, relative(source, path)), node)
    this.#changes.tell({ type: 'remove', path: source })
    this.#changes.tell({ type: 'create', path: target })
  }

  async *watch(path: string, options: { recursive: boolean; signal: AbortSignal }): AsyncGenerator<FileChange> {
    const top = this.#real(path, true)
    this.#node(top, path)
    for await (const change of this.#changes.listen(options.signal)) {
      const below = relative(top, change.path)
      if (below !== '' && !below.startsWith('..') && (options.recursive || !below.includes('/'))) yield change
    }
  }

  async unpack(path: string, tar: Readable): Promise<void> {
    const top = this.#real(path, true)
    this.#makeDirs(top)
    const archive = extract()
    const read = (async () => {
      for await (const entry of archive) {
        const { name, type, mode, linkname } = entry.header
        const content = await buffer(entry)
        const target = join(top, join('/', name))
        if (type === 'directory') this.#makeDirs(target, mode)
        else if (type === 'symlink') this.#link(linkname, target)
        else await this.write(target, content, { mode: mode & 0o777 })
      }
    })()
    await Promise.all([pipeline(tar, archive), read]).catch((cause: unknown) => {
      throw new AppError('invalid_request', `The archive cannot be read: ${String(cause)}`, { cause })
    })
  }

  async pack(path: string): Promise<Readable> {
    const top = this.#real(path, true)
    this.#node(top, path)
    const archive = pack()
    for (const found of this.#below(top)) {
      const { type, mode, content, symlinkTarget } = this.#node(found)
      const header = { name: relative(top, found), type, mode }
      if (type === 'file') archive.entry(header, content)
      else archive.entry(symlinkTarget === undefined ? header : { ...header, linkname: symlinkTarget })
    }
    archive.finalize()
    return Readable.from(archive, { objectMode: false })
  }

  #node(path: string, asked = path): MemoryNode {
    const node = this.#nodes.get(path)
    if (node === undefined) throw new FileNotFoundError(asked)
    return node
  }

  *#below(top: string): Generator<string> {
    const prefix = top === '/' ? '/' : `${top}/`
    for (const path of this.#nodes.keys()) if (path.startsWith(prefix) && path !== '/') yield path
  }

  #makeDirs(path: string, mode = 0o755): void {
    const present = this.#nodes.get(path)
    if (present?.type === 'directory') return
    if (present !== undefined) throw new AppError('conflict', `${path} is no directory.`)
    this.#makeDirs(dirname(path))
    this.#nodes.set(path, { ...directory(), mode })
    this.#changes.tell({ type: 'create', path })
  }

  #link(symlinkTarget: string, path: string): void {
    this.#makeDirs(dirname(path))
    const modifiedAt = new Date()
    this.#nodes.set(path, { type: 'symlink', content: Buffer.alloc(0), mode: 0o777, modifiedAt, symlinkTarget })
    this.#changes.tell({ type: 'create', path })
  }

  /** The path without links; of the last part only when it is to be followed. */
  #real(path: string, followLast: boolean): string {
    let parts = resolve(this.#appDir, path).split('/').slice(1)
    let at = '/'
    for (let hops = 0; ; ) {
      const [part, ...rest] = parts
      if (part === undefined) return at
      const next = join(at, part)
      const node = this.#nodes.get(next)
      if (node?.symlinkTarget !== undefined && (followLast || rest.length > 0)) {
        if (++hops > 40) throw new AppError('invalid_request', `${path} has too many links.`)
        parts = join(resolve(at, node.symlinkTarget), ...rest)
          .split('/')
          .slice(1)
        at = '/'
        continue
      }
      at = next
      parts = rest
    }
  }

  #entry(path: string, asked: string): FileEntry {
    const { type, content, mode, modifiedAt, symlinkTarget } = this.#node(path, asked)
    const link = symlinkTarget === undefined ? {} : { symlinkTarget }
    return { name: basename(path), path, type, size: content.length, mode, modifiedAt, ...link }
  }
}

function directory(): MemoryNode {
  return { type: 'directory', content: Buffer.alloc(0), mode: 0o755, modifiedAt: new Date() }
}
