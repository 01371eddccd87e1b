import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../failure.ts'
import type { SourceFile } from './source-folder.ts'

/** A file that was changed this shortly before it was read may have changed again without another time stamp. */
const clockStepMs = 25
/** Reading fewer files takes no longer than reading what was kept of them. */
const fewFiles = 200
const wholeBytes = 1024 * 1024

type Files = Record<string, [stamp: string, hash: string]>

interface Kept {
  files: Files
  /** Server and project that have all of these contents; of the latest upload. */
  storedAt?: string
}

/**
 * Hashes of a folder's files, each read once as long as its attributes (inode, size, times) stay the same. For large
 * folders they are kept in the user's own cache directory from one run to the next.
 */
export class FileHashes {
  readonly #file: string | undefined
  readonly #before: Kept
  readonly #now = emptyFiles()
  #changed = false

  private constructor(file: string | undefined, before: Kept) {
    this.#file = file
    this.#before = before
  }

  /** Forgotten with the process. */
  static inMemory(): FileHashes {
    return new FileHashes(undefined, { files: emptyFiles() })
  }

  static async open(cacheDirectory: string, root: string): Promise<FileHashes> {
    const name = createHash('sha256').update(root).digest('hex').slice(0, 32)
    const file = join(cacheDirectory, 'hashes', `${name}.json`)
    return new FileHashes(file, await readKept(file))
  }

  async of(file: SourceFile, signal: AbortSignal): Promise<string> {
    const known = this.#now[file.path] ?? this.#before.files[file.path]
    if (known !== undefined && known[0] === file.stamp) {
      this.#now[file.path] = known
      return known[1]
    }
    const readAtMs = Date.now()
    const hash = await contentHash(file, signal)
    this.#changed = true
    if (file.changedAtMs < readAtMs - clockStepMs) this.#now[file.path] = [file.stamp, hash]
    return hash
  }

  /** Contents that this project of this server has since the upload before; undefined when that went elsewhere. */
  storedAt(place: string): ReadonlySet<string> | undefined {
    if (this.#before.storedAt !== place) return undefined
    return new Set(Object.values(this.#before.files).map(([, hash]) => hash))
  }

  /**
   * Keeps what was asked for in this run, all of which the place has by now. That it cannot be kept costs time and
   * nothing else.
   */
  async save(storedAt: string): Promise<void> {
    if (this.#file === undefined || Object.keys(this.#now).length < fewFiles) return
    if (!this.#changed && this.#before.storedAt === storedAt) return
    const draft = `${this.#file}.${process.pid}`
    try {
      await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 })
      const handle = await open(draft, 'w', 0o600)
      try {
        await handle.writeFile(JSON.stringify({ files: this.#now, storedAt } satisfies Kept))
      } finally {
        await handle.close()
      }
      await rename(draft, this.#file)
    } catch {
      await rm(draft, { force: true }).catch(() => undefined)
    }
  }
}

/** Own names only: a file may be called `constructor`. */
function emptyFiles(): Files {
  return Object.create(null) as Files
}

async function readKept(file: string): Promise<Kept> {
  try {
    const { files, storedAt } = JSON.parse(await readFile(file, 'utf8')) as Partial<Kept>
    return {
      files: Object.assign(emptyFiles(), files),
      ...(typeof storedAt === 'string' && { storedAt }),
    }
  } catch {
    return { files: emptyFiles() } // Nothing kept yet, or damaged: everything is read again.
  }
}

async function contentHash(file: SourceFile, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  try {
    if (file.size <= wholeBytes) hash.update(await readFile(file.absolute, { signal }))
    else for await (const chunk of createReadStream(file.absolute, { signal })) hash.update(chunk as Buffer)
  } catch (cause) {
    signal.throwIfAborted()
    throw new Failure('source_unreadable', `${file.path} cannot be read: ${(cause as Error).message}`)
  }
  return hash.digest('hex')
}
