import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { whenDirectory } from './directory-condition.ts'
import { lineBytes, mostSegments, segmentBytes, segmentName, segmentStarts } from './spool.ts'

/** Appends the lines of streams, each read no faster than the disk takes it. */
export class SpoolWriter {
  #directory: string
  #file: FileHandle | undefined
  #start = 0
  #end = 0
  #queue: Promise<void> = Promise.resolve()

  constructor(directory: string) {
    this.#directory = directory
  }

  async follow(stream: Readable, mark: 'o' | 'e'): Promise<void> {
    let rest = Buffer.alloc(0)
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let left = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      const lines: Buffer[] = []
      for (;;) {
        const newline = left.subarray(0, lineBytes).indexOf(10)
        if (newline === -1 && left.length < lineBytes) break
        const length = newline === -1 ? lineBytes : newline
        lines.push(left.subarray(0, length))
        left = left.subarray(newline === -1 ? length : length + 1)
      }
      rest = Buffer.from(left)
      await this.write(lines, mark)
    }
    if (rest.length > 0) await this.write([rest], mark)
  }

  write(lines: readonly Buffer[], mark: 'o' | 'e'): Promise<void> {
    if (lines.length === 0) return this.#queue
    const head = Buffer.from(`${Date.now()} ${mark} `)
    const newline = Buffer.from('\n')
    const bytes = Buffer.concat(lines.flatMap(line => [head, line, newline]))
    this.#queue = this.#queue.then(() => this.#append(bytes))
    return this.#queue
  }

  async close(): Promise<void> {
    await this.#queue
    await this.#file?.close()
  }

  async #append(bytes: Buffer): Promise<void> {
    if (this.#file === undefined || this.#end - this.#start >= segmentBytes) {
      await this.#file?.close()
      this.#file = undefined
      await this.#roomForOne()
      this.#start = this.#end
      this.#file = await open(join(this.#directory, segmentName(this.#start)), 'ax', 0o600)
    }
    await this.#file.appendFile(bytes)
    this.#end += bytes.length
  }

  async #roomForOne(): Promise<void> {
    const room = async (): Promise<boolean> => (await segmentStarts(this.#directory)).length < mostSegments
    if (!(await room())) await whenDirectory(this.#directory, room)
  }
}
