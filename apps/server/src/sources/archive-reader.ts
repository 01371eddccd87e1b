/**
 * Reads an uploaded archive (tar, plain or gzipped) as a stream and refuses everything that is not a plain tree of files
 * within its limits. Nothing is believed: sizes are counted, names are checked, the format is told by the bytes and not by
 * the content type.
 */
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { AppError } from '@coderunner/contract'
import { type Extract, extract } from 'tar-stream'
import { type ContentSink, EntryReader } from './archive-entries.ts'
import { archiveFormat, formatBytes } from './archive-format.ts'
import { InvalidArchiveError } from './invalid-archive.ts'
import type { SourceEntry } from './source-tree.ts'

export interface ArchiveLimits {
  entries: number
  unpackedBytes: number
  packedBytes: number
  /** Unpacked against packed size, looked at from `ratioFromBytes` unpacked on. */
  ratio: number
  ratioFromBytes: number
}

const mb = 1024 * 1024
export const archiveLimits: ArchiveLimits = {
  entries: 100_000,
  unpackedBytes: 512 * mb,
  packedBytes: 512 * mb,
  ratio: 200,
  ratioFromBytes: 10 * mb,
}

/**
 * The files of an archive, their contents given to `sink` as they come. Throws `InvalidArchiveError` (or `too_large`) and
 * leaves it to the caller to drop what the sink has taken. `body` is not destroyed, so that an answer can still be sent.
 */
export async function readArchive(
  body: Readable,
  sink: ContentSink,
  limits: ArchiveLimits = archiveLimits,
): Promise<SourceEntry[]> {
  const reader = new EntryReader(sink, limits.entries)
  const tar = extract()
  const bytes = new ArchiveBytes(body, limits)
  const ended = new AbortController()
  const fed = feed(tar, bytes.unpacked(), ended.signal)
  try {
    await Promise.all([fed, reader.readAll(tar)])
    bytes.requireEnd()
  } catch (error) {
    throw refusal(error)
  } finally {
    // Whoever failed, the other one lets go of the body.
    ended.abort()
    fed.catch(() => {})
    tar.on('error', () => {}).destroy()
  }
  return reader.tree()
}

async function feed(tar: Extract, chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  for await (const chunk of chunks) {
    signal.throwIfAborted()
    if (!tar.write(chunk)) await once(tar, 'drain', { signal })
  }
  tar.end(null)
}

/** Counts what comes in and what comes out of it, and stops where the limits are. */
class ArchiveBytes {
  readonly #body: Readable
  readonly #limits: ArchiveLimits
  #packed = 0
  #unpacked = 0
  #zerosAtEnd = 0

  constructor(body: Readable, limits: ArchiveLimits) {
    this.#body = body
    this.#limits = limits
  }

  async *unpacked(): AsyncGenerator<Buffer> {
    const packed = this.#packedChunks()
    let whole: Readable | undefined
    try {
      const head = await headOf(packed)
      const format = archiveFormat(head)
      whole = Readable.from(startingWith(head, packed), { objectMode: false })
      const source = format === 'gzip' ? whole.pipe(createGunzip()) : whole
      // `pipe` does not pass errors on.
      whole.on('error', error => source.destroy(error))
      for await (const chunk of source as AsyncIterable<Buffer>) {
        this.#unpacked += chunk.byteLength
        this.#check()
        this.#countZeros(chunk)
        yield chunk
      }
    } finally {
      // Not waited for: the next piece may be long in coming. The body is then free for whoever reads the rest.
      whole?.on('error', () => {}).destroy()
      void packed.return(undefined)
    }
  }

  /** An archive ends with blocks of zeros; one that does not was cut off. */
  requireEnd(): void {
    if (this.#zerosAtEnd < 512) throw new InvalidArchiveError('The archive is cut off: its end marker is missing.')
  }

  async *#packedChunks(): AsyncGenerator<Buffer> {
    for await (const chunk of this.#body.iterator({ destroyOnReturn: false })) {
      this.#packed += (chunk as Buffer).byteLength
      if (this.#packed > this.#limits.packedBytes) throw tooLarge('The archive', this.#limits.packedBytes)
      yield chunk as Buffer
    }
  }

  #check(): void {
    const { unpackedBytes, ratio, ratioFromBytes } = this.#limits
    if (this.#unpacked > unpackedBytes) throw tooLarge('What the archive unpacks to', unpackedBytes)
    if (this.#unpacked > ratioFromBytes && this.#unpacked > this.#packed * ratio)
      throw new InvalidArchiveError(
        `The archive unpacks to more than ${ratio} times its size, as a decompression bomb does.`,
      )
  }

  #countZeros(chunk: Buffer): void {
    let zeros = 0
    while (zeros < chunk.byteLength && chunk[chunk.byteLength - 1 - zeros] === 0) zeros++
    this.#zerosAtEnd = zeros === chunk.byteLength ? this.#zerosAtEnd + zeros : zeros
  }
}

async function headOf(chunks: AsyncGenerator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0)
  while (head.byteLength < formatBytes) {
    const next = await chunks.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  return head
}

async function* startingWith(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield head
  yield* rest
}

function tooLarge(what: string, bytes: number): AppError {
  return new AppError('too_large', `${what} is larger than ${Math.round(bytes / mb)} MB.`)
}

function refusal(error: unknown): Error {
  if (error instanceof AppError || !(error instanceof Error)) return error as Error
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'Z_BUF_ERROR' || error.message === 'Unexpected end of data')
    return new InvalidArchiveError('The archive is cut off: it ends in the middle.', { cause: error })
  if (code.startsWith('Z_'))
    return new InvalidArchiveError(`The gzip data is damaged (${error.message}).`, { cause: error })
  if (/tar header|Invalid header|Header exceeds|pax/i.test(error.message))
    return new InvalidArchiveError(`The archive is damaged: ${error.message}`, { cause: error })
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE')
    return new InvalidArchiveError('The upload was broken off.', { cause: error })
  return error
}
