import { readdir, readlink, realpath, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { Failure } from '../failure.ts'
import { safeText } from '../terminal/safe-text.ts'
import { UsageError } from '../usage-error.ts'
import { IgnoreRules, isSecretFile } from './ignore-rules.ts'
import { lstatIfPresent } from './lstat-if-present.ts'

/** `path` is relative to the folder, with `/` between its parts. */
export type SourceEntry =
  | { kind: 'file'; path: string; absolute: string; size: number; executable: boolean }
  | { kind: 'link'; path: string; target: string }

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

const mostEntries = 100_000
const longestPath = 1024
const mostProblemsShown = 10

/** Lists what an upload of the folder would hold; reads names and attributes only, no contents. */
export async function readSourceFolder(directory: string, signal?: AbortSignal): Promise<SourceFolder> {
  const root = await folderRoot(directory)
  const walk = new FolderWalk(root, signal)
  await walk.visit(root, '', await IgnoreRules.at(root))
  if (walk.problems.length > 0) throw new Failure('invalid_request', problemText(walk.problems))
  const { entries, secretFiles, specialFiles } = walk
  entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  const totalBytes = entries.reduce((sum, entry) => sum + (entry.kind === 'file' ? entry.size : 0), 0)
  return { root, entries, totalBytes, secretFiles, specialFiles }
}

class FolderWalk {
  readonly entries: SourceEntry[] = []
  readonly secretFiles: string[] = []
  readonly specialFiles: string[] = []
  readonly problems: string[] = []
  readonly #root: string
  readonly #signal: AbortSignal | undefined

  constructor(root: string, signal: AbortSignal | undefined) {
    this.#root = root
    this.#signal = signal
  }

  async visit(directory: string, prefix: string, rules: IgnoreRules): Promise<void> {
    this.#signal?.throwIfAborted()
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const absolute = join(directory, entry.name)
      const path = prefix + entry.name
      if (rules.drops(entry.name, absolute, entry.isDirectory())) {
        if (!entry.isDirectory() && isSecretFile(entry.name)) this.secretFiles.push(path)
      } else if (!this.#nameIsGood(path)) {
        continue
      } else if (entry.isDirectory()) {
        await this.visit(absolute, `${path}/`, await rules.enter(absolute))
      } else if (entry.isFile()) {
        await this.#addFile(absolute, path)
      } else if (entry.isSymbolicLink()) {
        await this.#addLink(absolute, path)
      } else {
        this.specialFiles.push(path)
      }
    }
  }

  async #addFile(absolute: string, path: string): Promise<void> {
    const attributes = await lstatIfPresent(absolute)
    if (attributes === undefined) return // Removed since the directory was read.
    this.#add({ kind: 'file', path, absolute, size: attributes.size, executable: (attributes.mode & 0o100) !== 0 })
  }

  async #addLink(absolute: string, path: string): Promise<void> {
    const target = await readlink(absolute)
    // Both readings have to stay inside: the text of the link, and where it leads through other links today.
    const real = await realpath(absolute).catch(() => undefined) // A link to nothing is kept as it is.
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

function problemText(problems: string[]): string {
  const shown = problems.slice(0, mostProblemsShown).map(problem => `  ${safeText(problem)}`)
  const more = problems.length - shown.length
  if (more > 0) shown.push(`  and ${more} more`)
  return `This folder cannot be uploaded as it is:\n${shown.join('\n')}\nChange that, or leave them out with a .coderunnerignore file.`
}
