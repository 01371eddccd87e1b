/** Files of an upload that is still being read: kept apart until all of it is good, gone when it is not. */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AppError } from '@coderunner/contract'

export interface StoredContent {
  hash: string
  size: number
}

/** Up to this size a file is held in memory and written in one go. */
const wholeBytes = 1024 * 1024

export class StagedUpload implements AsyncDisposable {
  readonly #directory: string
  readonly #hashes = new Map<string, number>()
  #next = 0

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** `directory`: on the same file system as the blob store, because what is staged is renamed into it. */
  static async create(directory: string): Promise<StagedUpload> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return new StagedUpload(await mkdtemp(join(directory, 'upload-')))
  }

  /** Hash and size of everything staged. */
  get hashes(): ReadonlyMap<string, number> {
    return this.#hashes
  }

  pathOf(hash: string): string {
    return join(this.#directory, hash)
  }

  async read(hash: string, maxBytes: number): Promise<Buffer> {
    if ((this.#hashes.get(hash) ?? 0) > maxBytes)
      throw new AppError('too_large', `A file that has to be read is larger than ${maxBytes} bytes.`)
    return readFile(this.pathOf(hash))
  }

  async add(content: AsyncIterable<Uint8Array>): Promise<StoredContent> {
    const hash = createHash('sha256')
    const head: Uint8Array[] = []
    let size = 0
    const iterator = content[Symbol.asyncIterator]()
    for (;;) {
      const next = await iterator.next()
      if (next.done === true) return await this.#keepWhole(hash.digest('hex'), Buffer.concat(head, size))
      head.push(next.value)
      hash.update(next.value)
      size += next.value.byteLength
      if (size > wholeBytes) break
    }
    const temporary = join(this.#directory, `t${this.#next++}`)
    await pipeline(
      async function* () {
        yield* head
        for (;;) {
          const next = await iterator.next()
          if (next.done === true) return
          hash.update(next.value)
          size += next.value.byteLength
          yield next.value
        }
      },
      createWriteStream(temporary, { mode: 0o600 }),
    )
    const digest = hash.digest('hex')
    await rename(temporary, this.pathOf(digest))
    this.#hashes.set(digest, size)
    return { hash: digest, size }
  }

  /** A file of its own, gone with the upload; its path. */
  async spool(content: AsyncIterable<Uint8Array>): Promise<string> {
    const path = join(this.#directory, `s${this.#next++}`)
    await pipeline(content, createWriteStream(path, { mode: 0o600 }))
    return path
  }

  async addBuffer(content: Buffer): Promise<StoredContent> {
    return this.#keepWhole(createHash('sha256').update(content).digest('hex'), content)
  }

  async #keepWhole(hash: string, content: Buffer): Promise<StoredContent> {
    if (!this.#hashes.has(hash)) {
      await writeFile(this.pathOf(hash), content, { mode: 0o600 })
      this.#hashes.set(hash, content.byteLength)
    }
    return { hash, size: content.byteLength }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}
