import { type FileHandle, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { logLevels, logSources } from '@coderunner/contract'
import { blockChars, countIn, decodeBlocks, emptyBlock, encodeBlock, type LogBlock } from './log-block.ts'
import { checkedCursor, encodeLine, type LogEntry, levelOf, placesOf, sourceOf, timeOf } from './log-line.ts'

/**
 * One append-only file of lines with its sparse index. Lines are staged, then written by one call; what a failed or
 * killed write left behind lies after `bytes` and is overwritten by the next write or cut when the segment is opened.
 */
export class LogSegment {
  readonly file: string
  readonly firstCursor: number
  /** The blocks in order; the last may still grow. */
  readonly blocks: LogBlock[]
  /** What counts of the file. */
  bytes: number
  #staged: { block: LogBlock; text: string }[] = []
  #stagedChars = 0
  #openChars = 0
  #indexedBlocks: number
  #handles: { data: FileHandle; index: FileHandle } | undefined

  private constructor(file: string, firstCursor: number, blocks: LogBlock[], indexedBlocks: number) {
    this.file = file
    this.firstCursor = firstCursor
    this.blocks = blocks
    this.#indexedBlocks = indexedBlocks
    const last = blocks.at(-1)
    this.bytes = last === undefined ? 0 : last.offset + last.bytes
    // Bytes stand for characters here: the block then closes a little early, which harms nothing.
    this.#openChars = blocks.length > indexedBlocks && last !== undefined ? last.bytes : blockChars
  }

  static fileFor(directory: string, firstCursor: number): string {
    return path.join(directory, `${String(firstCursor).padStart(16, '0')}.log`)
  }

  static async create(directory: string, firstCursor: number): Promise<LogSegment> {
    const file = LogSegment.fileFor(directory, firstCursor)
    await writeFile(file, '', { mode: 0o600 })
    await writeFile(indexOf(file), '', { mode: 0o600 })
    return new LogSegment(file, firstCursor, [], 0)
  }

  /** Reads the index, reads the lines it does not cover yet, and cuts a half-written end. */
  static async open(file: string): Promise<LogSegment> {
    const firstCursor = Number(path.basename(file, '.log'))
    const { size } = await stat(file)
    const text = await readFile(indexOf(file), 'latin1').catch(() => '')
    const blocks = decodeBlocks(text, firstCursor).filter(block => block.offset + block.bytes <= size)
    const last = blocks.at(-1)
    const from = last === undefined ? 0 : last.offset + last.bytes
    const cursor = last === undefined ? firstCursor : last.firstCursor + last.records
    const found = from < size ? blocksOf(await readRange(file, from, size - from), from, cursor) : []
    // The last block found may still grow: it is indexed when it is full.
    const indexed = blocks.length + Math.max(found.length - 1, 0)
    blocks.push(...found)
    const index = blocks.slice(0, indexed).map(encodeBlock).join('')
    if (index !== text) await writeFile(indexOf(file), index, { mode: 0o600 })
    const segment = new LogSegment(file, firstCursor, blocks, indexed)
    if (segment.bytes < size) await truncate(file, segment.bytes)
    return segment
  }

  get nextCursor(): number {
    const last = this.blocks.at(-1)
    return last === undefined ? this.firstCursor : last.firstCursor + last.records
  }

  /** Time of the newest record in it, or 0. */
  get newestTime(): number {
    return this.blocks.reduce((newest, block) => Math.max(newest, block.maxTime), 0)
  }

  /** About how big the file will be when what is staged is written. */
  get stagedSize(): number {
    return this.bytes + this.#stagedChars
  }

  /** Adds a line to what the next `flush` writes. */
  stage(entry: LogEntry, cursor: number): void {
    let part = this.#staged.at(-1)
    if (part === undefined || this.#openChars >= blockChars) {
      const open = part === undefined && this.#openChars < blockChars ? this.blocks.at(-1) : undefined
      if (open === undefined) this.#openChars = 0
      // An open block is copied: it changes only when the write has succeeded.
      part = { block: open === undefined ? emptyBlock(-1, cursor) : { ...open }, text: '' }
      this.#staged.push(part)
    }
    const line = encodeLine(entry, cursor)
    part.text += line
    this.#openChars += line.length
    this.#stagedChars += line.length
    countIn(part.block, entry)
  }

  /** One write of everything staged. After a failure nothing of it counts. */
  async flush(): Promise<void> {
    const staged = this.#staged
    if (staged.length === 0) return
    this.#staged = []
    this.#stagedChars = 0
    const buffers = staged.map(part => Buffer.from(part.text))
    try {
      const { data } = await this.#open()
      await writeAll(data, buffers, this.bytes)
    } catch (error) {
      this.#openChars = blockChars
      throw error
    }
    for (const [index, { block }] of staged.entries()) {
      const bytes = buffers[index]?.length ?? 0
      if (block.offset < 0) {
        block.offset = this.bytes
        this.blocks.push(block)
      } else this.blocks[this.blocks.length - 1] = block
      block.bytes += bytes
      this.bytes += bytes
    }
    await this.#writeIndex(this.#openChars >= blockChars ? this.blocks.length : this.blocks.length - 1)
  }

  /** Finishes the index; nothing is staged any more after this. */
  async seal(): Promise<void> {
    await this.#writeIndex(this.blocks.length)
    this.#openChars = blockChars
    await this.close()
  }

  async close(): Promise<void> {
    const handles = this.#handles
    this.#handles = undefined
    await Promise.all([handles?.data.close(), handles?.index.close()])
  }

  async remove(): Promise<void> {
    await this.close()
    await rm(indexOf(this.file), { force: true })
    await rm(this.file, { force: true })
  }

  async #open(): Promise<{ data: FileHandle; index: FileHandle }> {
    if (this.#handles === undefined) {
      const data = await open(this.file, 'r+')
      this.#handles = { data, index: await open(indexOf(this.file), 'a') }
    }
    return this.#handles
  }

  async #writeIndex(upTo: number): Promise<void> {
    if (upTo <= this.#indexedBlocks) return
    const text = this.blocks.slice(this.#indexedBlocks, upTo).map(encodeBlock).join('')
    this.#indexedBlocks = upTo
    await (await this.#open()).index.write(text)
  }
}

const indexOf = (file: string) => `${file.slice(0, -'.log'.length)}.index`

async function writeAll(handle: FileHandle, buffers: Buffer[], position: number): Promise<void> {
  const data = buffers.length === 1 && buffers[0] !== undefined ? buffers[0] : Buffer.concat(buffers)
  for (let written = 0; written < data.length; ) {
    const { bytesWritten } = await handle.write(data, written, data.length - written, position + written)
    written += bytesWritten
  }
}

async function readRange(file: string, offset: number, length: number): Promise<Buffer> {
  const handle = await open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** Blocks over whole, undamaged lines with cursors in a row; ends at the first line that is not. */
function blocksOf(data: Buffer, offset: number, firstCursor: number): LogBlock[] {
  const blocks: LogBlock[] = []
  let cursor = firstCursor
  for (let start = 0; start < data.length; ) {
    const end = data.indexOf(10, start)
    const line = end < 0 ? '' : data.toString('latin1', start, Math.min(end, start + 300))
    if (checkedCursor(line) !== cursor) break
    let block = blocks.at(-1)
    if (block === undefined || block.bytes >= blockChars) {
      block = emptyBlock(offset + start, cursor)
      blocks.push(block)
    }
    const { deployment, instance } = placesOf(line)
    const deploymentId = line.slice(deployment, instance - 1)
    countIn(block, {
      time: timeOf(line),
      level: logLevels[levelOf(line)] ?? 'info',
      source: logSources[sourceOf(line)] ?? 'system',
      deploymentId: deploymentId === '-' ? '' : deploymentId,
    })
    block.bytes += end + 1 - start
    start = end + 1
    cursor++
  }
  return blocks
}
