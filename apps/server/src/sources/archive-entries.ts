import type { Extract, Header } from 'tar-stream'
import { InvalidArchiveError } from './invalid-archive.ts'
import {
  isIgnored,
  isLink,
  normalPath,
  pathProblem,
  type SourceEntry,
  shown,
  treeProblem,
} from './source-tree.ts'

/** Takes a file's content in and says what it was. */
export type ContentSink = (content: AsyncIterable<Uint8Array>) => Promise<{ hash: string; size: number }>

/** Turns tar entries into source entries, each checked as it comes. */
export class EntryReader {
  readonly #sink: ContentSink
  readonly #maxEntries: number
  readonly #entries = new Map<string, SourceEntry>()
  #count = 0

  constructor(sink: ContentSink, maxEntries: number) {
    this.#sink = sink
    this.#maxEntries = maxEntries
  }

  async readAll(tar: Extract): Promise<void> {
    for await (const entry of tar) {
      if (++this.#count > this.#maxEntries)
        throw new InvalidArchiveError(`The archive has more than ${this.#maxEntries} entries.`)
      await this.#read(entry.header, entry as unknown as AsyncIterable<Uint8Array>)
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

  async #read(header: Header, content: AsyncIterable<Uint8Array>): Promise<void> {
    const path = normalPath(header.name)
    if (path === '' && header.type === 'directory') return
    const problem = pathProblem(path)
    if (problem !== undefined) throw refused(header.name, problem)
    if (isIgnored(path) || header.type === 'directory') return
    const entry = await this.#entry(path, header, content)
    if (this.#entries.has(path)) throw refused(path, 'is there twice')
    this.#entries.set(path, entry)
  }

  async #entry(path: string, header: Header, content: AsyncIterable<Uint8Array>): Promise<SourceEntry> {
    switch (header.type) {
      case 'file':
      case 'contiguous-file':
        return { path, ...(await this.#sink(content)), executable: (header.mode & 0o100) !== 0 }
      case 'symlink':
        return { path, link: this.#target(path, header) }
      case 'link':
        return { ...this.#sameFile(path, header), path }
      case 'fifo':
      case 'character-device':
      case 'block-device':
        throw refused(path, `is a ${header.type.replace('-', ' ')}; only files, folders and links within are taken`)
      default:
        throw refused(path, `is of an unknown kind`)
    }
  }

  #target(path: string, header: Header): string {
    const target = String(header.linkname ?? '')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    if (target === '' || target.length > 1024 || /[\u0000-\u001f\u007f\uFFFD]/.test(target))
      throw refused(path, 'is a link with an unusable target')
    return target
  }

  #sameFile(path: string, header: Header): SourceEntry {
    const target = normalPath(String(header.linkname ?? ''))
    const found = this.#entries.get(target)
    if (found === undefined || isLink(found))
      throw refused(path, `is a hard link to ${shown(target) || 'nothing'}, which is no file before it in the archive`)
    return found
  }
}

function refused(path: string, problem: string): InvalidArchiveError {
  return new InvalidArchiveError(`The archive was refused: “${shown(path)}” ${problem}.`)
}
