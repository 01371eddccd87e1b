import { constants } from 'node:fs'
import { type FileHandle, open, rename } from 'node:fs/promises'

/** A log file that is renamed to `.1` when it is full, the one before to `.2`, and no further. */
export class BoundedLog implements AsyncDisposable {
  readonly #path: string
  readonly #maxBytes: number
  #file: FileHandle
  #size: number
  #last: Promise<void> = Promise.resolve()

  private constructor(path: string, maxBytes: number, file: FileHandle, size: number) {
    this.#path = path
    this.#maxBytes = maxBytes
    this.#file = file
    this.#size = size
  }

  static async open(path: string, maxBytes = 16 * 1024 * 1024): Promise<BoundedLog> {
    const file = await openForAppending(path)
    return new BoundedLog(path, maxBytes, file, (await file.stat()).size)
  }

  /** Resolves when it is written; wait for it before writing more. What cannot be written (full disk) is dropped. */
  write(chunk: Buffer): Promise<void> {
    this.#last = this.#last.then(() => this.#append(chunk)).catch(() => {})
    return this.#last
  }

  async #append(chunk: Buffer): Promise<void> {
    if (this.#size > 0 && this.#size + chunk.length > this.#maxBytes) await this.#rotate()
    this.#size += chunk.length
    await this.#file.write(chunk)
  }

  async #rotate(): Promise<void> {
    await rename(`${this.#path}.1`, `${this.#path}.2`).catch(() => {})
    await rename(this.#path, `${this.#path}.1`)
    const full = this.#file
    this.#file = await openForAppending(this.#path)
    this.#size = 0
    await full.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last
    await this.#file.close()
  }
}

function openForAppending(path: string): Promise<FileHandle> {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
}
