import { type Dirent, lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Failure } from '../failure.ts'
import { safeText } from '../terminal/safe-text.ts'
import { UsageError } from '../usage-error.ts'
import { IgnoreRules, isSecretFile } from './ignore-rules.ts'

export interface SourceFile {
  kind: 'file'
  /** Relative to the folder, with `/` between its parts. */
  path: string
  absolute: string
  size: number
  executable: boolean
  /** Another one when the file was replaced or written to, as far as its attributes tell. */
  stamp: string
  /** When the attributes last changed, in milliseconds since 1970. */
  changedAtMs: number
}
export type SourceEntry = SourceFile | { kind: 'link'; path: string; target: string }

export interface SourceFolder {
  root: string
  /** Sorted by path, so that the same folder always gives the same upload. */
  entries: SourceEntry[]
  totalBytes: number
  /** `.env` files that stay at home. */
  secretFiles: string[]
  /** Sockets, devices and pipes, which nobody can upload. */
  specialFiles: string[]
}

/** Comes along on a walk. */
export interface WalkObserver {
  /** Before a directory is read, so that a watch begun there misses nothing. */
  see(directory: string): void
  /** What of it stays at home. */
  heed(directory: string, rules: IgnoreRules): void
}

const mostEntries = 100_000
const longestPath = 1024
const mostProblemsShown = 10
const turnEvery = 500

/** Lists what an upload of the folder would hold; reads names and attributes only, no contents. */
export async function readSourceFolder(
  directory: string,
  signal?: AbortSignal,
  observer?: WalkObserver,
): Promise<SourceFolder> {
  const root = await folderRoot(directory)
  const walk = new FolderWalk(root, signal, observer)
  await walk.visit(root, '', undefined)
  if (walk.problems.length > 0) throw new Failure('invalid_request', problemText(walk.problems))
  const { entries, secretFiles, specialFiles } = walk
  entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  const totalBytes = entries.reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.size : 0), 0)
  return { root, entries, totalBytes, secretFiles, specialFiles }
}

/** Synchronous calls: attributes come from memory, and a turn of the thread pool for each takes ten times as long. */
class FolderWalk {
  readonly entries: SourceEntry[] = []
  readonly secretFiles: string[] = []
  readonly specialFiles: string[] = []
  readonly problems: string[] = []
  readonly #root: string
  readonly #signal: AbortSignal | undefined
  readonly #observer: WalkObserver | undefined
  #visited = 0

  constructor(root: string, signal: AbortSignal | undefined, observer: WalkObserver | undefined) {
    this.#root = root
    this.#signal = signal
    this.#observer = observer
  }

  async visit(directory: string, prefix: string, above: IgnoreRules | undefined): Promise<void> {
    if (++this.#visited % turnEvery === 0) await turn()
    this.#signal?.throwIfAborted()
    this.#observer?.see(directory)
    const found = this.#namesIn(directory)
    const files = new Set(found.filter(entry => entry.isFile()).map(entry => entry.name))
    const rules = above === undefined ? await IgnoreRules.at(directory, files) : above.enter(directory, files)
    this.#observer?.heed(directory, rules)
    for (const entry of found) {
      const absolute = directory.endsWith(sep) ? directory + entry.name : directory + sep + entry.name
      const path = prefix + entry.name
      if (rules.drops(entry.name, absolute, entry.isDirectory())) {
        if (!entry.isDirectory() && isSecretFile(entry.name)) this.secretFiles.push(path)
      } else if (!this.#nameIsGood(path)) {
        continue
      } else if (entry.isDirectory()) {
        await this.visit(absolute, `${path}/`, rules)
      } else if (entry.isFile()) {
        this.#addFile(absolute, path)
      } else if (entry.isSymbolicLink()) {
        this.#addLink(absolute, path)
      } else {
        this.specialFiles.push(path)
      }
    }
  }

  #namesIn(directory: string): Dirent[] {
    try {
      return readdirSync(directory, { withFileTypes: true })
    } catch (cause) {
      // Removed since its name was read; the folder itself is another matter.
      if (directory !== this.#root && isMissing(cause)) return []
      throw new Failure('source_unreadable', `${directory} cannot be read: ${(cause as Error).message}`)
    }
  }

  #addFile(absolute: string, path: string): void {
    const attributes = lstatSync(absolute, { throwIfNoEntry: false })
    if (attributes === undefined) return // Removed since the directory was read.
    const { size, mode, ino, mtimeMs, ctimeMs } = attributes
    this.#add({
      kind: 'file',
      path,
      absolute,
      size,
      executable: (mode & 0o100) !== 0,
      stamp: `${ino} ${size} ${mtimeMs} ${ctimeMs}`,
      changedAtMs: Math.max(mtimeMs, ctimeMs),
    })
  }

  #addLink(absolute: string, path: string): void {
    let target: string
    try {
      target = readlinkSync(absolute)
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    // Both readings have to stay inside: the text of the link, and where it leads through other links today.
    const real = realpathIfPresent(absolute) // A link to nothing is kept as it is.
    const leaves =
      isAbsolute(target) ||
      !this.#isInside(resolve(dirname(absolute), target)) ||
      (real !== undefined && !this.#isInside(real))
    if (leaves) this.problems.push(`${path} is a symbolic link to ${target}, outside the folder`)
    else this.#add({ kind: 'link', path, target })
  }

  #add(entry: SourceEntry): void {
    if (this.entries.length === mostEntries)
      throw new Failure(
        'too_large',
        `${this.#root} holds more than ${mostEntries} files. Leave some out with a .coderunnerignore file.`,
      )
    this.entries.push(entry)
  }

  #nameIsGood(path: string): boolean {
    if (path.includes('\ufffd')) this.problems.push(`${path} has a name that is not UTF-8`)
    else if (path.length > longestPath)
      this.problems.push(`${path.slice(0, 80)}… has a path of more than ${longestPath} characters`)
    else return true
    return false
  }

  #isInside(path: string): boolean {
    const way = relative(this.#root, path)
    return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
  }
}

async function folderRoot(directory: string): Promise<string> {
  let root: string
  try {
    root = await realpath(directory)
  } catch {
    throw new UsageError(`${directory} does not exist.`, 'deploy')
  }
  if (!(await stat(root)).isDirectory()) throw new UsageError(`${directory} is not a folder.`, 'deploy')
  return root
}

function realpathIfPresent(path: string): string | undefined {
  try {
    return realpathSync(path)
  } catch {
    return undefined // Leads to nothing, or round in circles.
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}

function problemText(problems: string[]): string {
  const shown = problems.slice(0, mostProblemsShown).map(problem => `  ${safeText(problem)}`)
  const more = problems.length - shown.length
  if (more > 0) shown.push(`  and ${more} more`)
  return `This folder cannot be uploaded as it is:\n${shown.join('\n')}\nChange that, or leave them out with a .coderunnerignore file.`
}
