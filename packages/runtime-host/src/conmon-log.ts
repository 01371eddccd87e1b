/**
 * Lines out of conmon's log (CRI format: `<time> <stream> <P|F> <bytes>`). What a program wrote as one line comes in
 * parts (P) cut anywhere, also within a character, with the other stream's parts between them: bytes are joined per
 * stream until the final part (F) and only then decoded.
 *
 * Lines are given out only where no line of either stream is unfinished, so that the offset given with them is one to go
 * on from. A line that stays unfinished is given out as it is when the reader says so (`flush`) or when too much is
 * held back.
 */
import type { OutputChunk, OutputLine } from '@coderunner/runtime'

interface Unfinished {
  time: number
  parts: Buffer[]
  bytes: number
}

/** A line longer than this is given out in pieces. */
const LINE_LIMIT = 256 * 1024
const HELD_LIMIT = 1024 * 1024
const NEWLINE = 10
const SPACE = 32

export class ConmonLog {
  /** Of the byte after the last complete record. */
  #offset: number
  #rest: Buffer = Buffer.alloc(0)
  #held: OutputLine[] = []
  #heldBytes = 0
  /** How many of the held lines end before anything unfinished begins, and the offset there. */
  #ready = 0
  #readyOffset: number
  readonly #unfinished = new Map<OutputLine['stream'], Unfinished>()

  constructor(offset: number) {
    this.#offset = offset
    this.#readyOffset = offset
  }

  /** Adds what follows in the file. */
  push(bytes: Buffer): void {
    const data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let start = 0
    for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, start)) {
      this.#record(data.subarray(start, end))
      this.#offset += end + 1 - start
      start = end + 1
      if (this.#unfinished.size === 0) this.#markReady()
    }
    this.#rest = Buffer.from(data.subarray(start))
  }

  /** Lines that can be given out, if there are any. */
  take(): OutputChunk | undefined {
    if (this.#ready === 0 && this.#heldBytes > HELD_LIMIT) this.flush()
    if (this.#ready === 0) return undefined
    const lines = this.#held.splice(0, this.#ready)
    this.#ready = 0
    if (this.#held.length === 0) this.#heldBytes = 0
    return { lines, offset: this.#readyOffset }
  }

  /** Whether a line has begun and not ended. */
  get isWaiting(): boolean {
    return this.#unfinished.size > 0
  }

  /** Makes lines of what is unfinished. */
  flush(): void {
    for (const stream of this.#unfinished.keys()) this.#finish(stream)
    this.#markReady()
  }

  #markReady(): void {
    this.#ready = this.#held.length
    this.#readyOffset = this.#offset
  }

  #record(record: Buffer): void {
    const timeEnd = record.indexOf(SPACE)
    const streamEnd = record.indexOf(SPACE, timeEnd + 1)
    const time = Date.parse(record.toString('latin1', 0, timeEnd))
    const stream = record.toString('latin1', timeEnd + 1, streamEnd)
    // Half a record, left where the disk was full.
    if ((stream !== 'stdout' && stream !== 'stderr') || Number.isNaN(time)) return
    const isFinal = record[streamEnd + 1] === 'F'.charCodeAt(0)
    const content = record.subarray(streamEnd + 3)
    let line = this.#unfinished.get(stream)
    if (line === undefined) {
      line = { time, parts: [], bytes: 0 }
      this.#unfinished.set(stream, line)
    }
    // Copied: a part must not keep the whole piece that was read alive.
    line.parts.push(isFinal ? content : Buffer.from(content))
    line.bytes += content.length
    if (isFinal || line.bytes >= LINE_LIMIT) this.#finish(stream)
  }

  #finish(stream: OutputLine['stream']): void {
    const line = this.#unfinished.get(stream)
    if (line === undefined) return
    this.#unfinished.delete(stream)
    const [first] = line.parts
    const bytes = line.parts.length === 1 && first !== undefined ? first : Buffer.concat(line.parts)
    this.#held.push({ time: line.time, stream, text: bytes.toString('utf8') })
    this.#heldBytes += line.bytes + 64
  }
}
