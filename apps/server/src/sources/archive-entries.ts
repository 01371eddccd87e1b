import type { Extract } from 'tar-stream'
import { InvalidArchiveError } from './invalid-archive.ts'
import { isIgnored, isLink, normalPath, pathProblem, type SourceEntry, shown, treeProblem } from './source-tree.ts'

/** Takes contents in. */
export interface ContentStore {
  /** Keeps a file's content and says what it was. */
  add(content: AsyncIterable<Uint8Array>): Promise<{ hash: string; size: number }>
  /** Keeps something for a while as a file of its own; its path. */
  spool(content: AsyncIterable<Uint8Array>): Promise<string>
}

/** An entry as an archive describes it. */
export interface FoundEntry {
  name: string
  type:
    | 'file'
    | 'contiguous-file'
    | 'directory'
    | 'symlink'
    | 'link'
    | 'fifo'
    | 'character-device'
    | 'block-device'
    | (string & {})
  mode: number
  linkname?: string
}

/** Turns entries of an archive into source entries, each checked as it comes. */
export class EntryReader {
  readonly #store: Pick<ContentStore, 'add'>
  readonly #maxEntries: number
  readonly #entries = new Map<string, SourceEntry>()
  #count = 0

  constructor(store: Pick<ContentStore, 'add'>, maxEntries: number) {
    this.#store = store
    this.#maxEntries = maxEntries
  }

  async readTar(tar: Extract): Promise<void> {
    for await (const entry of tar) {
      const { name, type, mode, linkname } = entry.header
      const found = { name, type: type ?? 'file', mode: mode ?? 0, ...(linkname != null && { linkname }) }
      await this.read(found, entry as unknown as AsyncIterable<Uint8Array>)
      // Content that nobody wanted has to flow for the next entry to come.
      entry.resume()
    }
  }

  /** All entries, after the checks that need the whole. */
  tree(): SourceEntry[] {
    const tree = [...this.#entries.values()]
    const found = treeProblem(tree)
    if (found !== undefined) throw refused(found.path, found.problem)
    return tree
  }

  /** `content` is read for files only. */
  async read(header: FoundEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
    if (++this.#count > this.#maxEntries)
      throw new InvalidArchiveError(`The archive has more than ${this.#maxEntries} entries.`)
    const path = normalPath(header.name)
    if (path === '' && header.type === 'directory') return
    const problem = pathProblem(path)
    if (problem !== undefined) throw refused(header.name, problem)
    if (isIgnored(path) || header.type === 'directory') return
    const entry = await this.#entry(path, header, content)
    if (this.#entries.has(path)) throw refused(path, 'is there twice')
    this.#entries.set(path, entry)
  }

  async #entry(path: string, header: FoundEntry, content: AsyncIterable<Uint8Array>): Promise<SourceEntry> {
    switch (header.type) {
      case 'file':
      case 'contiguous-file':
        return { path, ...(await this.#store.add(content)), executable: (header.mode & 0o100) !== 0 }
      case 'symlink':
        return { path, link: this.#target(path, header) }
      case 'link':
        return { ...this.#sameFile(path, header), path }
      case 'fifo':
      case 'character-device':
      case 'block-device':
        throw refused(path, `is a ${header.type.replace('-', ' ')}; only files, folders and links within are taken`)
      case 'directory':
      default:
        throw refused(path, 'is of an unknown kind')
    }
  }

  #target(path: string, header: FoundEntry): string {
    const target = header.linkname ?? ''
    // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
    if (target === '' || target.length > 1024 || /[\u0000-\u001f\u007f\uFFFD]/.test(target))
      throw refused(path, 'is a link with an unusable target')
    return target
  }

  #sameFile(path: string, header: FoundEntry): SourceEntry {
    const target = normalPath(header.linkname ?? '')
    const found = this.#entries.get(target)
    if (found === undefined || isLink(found))
      throw refused(path, `is a hard link to ${shown(target) || 'nothing'}, which is no file before it in the archive`)
    return found
  }
}

function refused(path: string, problem: string): InvalidArchiveError {
  return new InvalidArchiveError(`The archive was refused: “${shown(path)}” ${problem}.`)
}
