/**
 * Reads an uploaded archive (tar, plain or gzipped, as a stream; zip by way of a file) and refuses everything that is not a
 * plain tree of files within its limits. Nothing is believed: sizes are counted, names are checked, the format is told by the bytes and not by
 * the content type.
 */
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { AppError } from '@coderunner/contract'
import { type Extract, extract } from 'tar-stream'
import { type ContentStore, EntryReader } from './archive-entries.ts'
import { archiveFormat, formatBytes } from './archive-format.ts'
import { type ArchiveLimits, archiveLimits, requireModestSize, tooLarge } from './archive-limits.ts'
import { InvalidArchiveError } from './invalid-archive.ts'
import type { SourceEntry } from './source-tree.ts'
import { readZip } from './zip-reader.ts'

/**
 * The files of an archive, their contents given to `store` as they come. Throws `InvalidArchiveError` (or `too_large`) and
 * leaves it to the caller to drop what the store has taken. `body` is not destroyed, so that an answer can still be sent.
 */
export async function readArchive(
  body: Readable,
  store: ContentStore,
  limits: ArchiveLimits = archiveLimits,
): Promise<SourceEntry[]> {
  const reader = new EntryReader(store, limits.entries)
  const bytes = new ArchiveBytes(body, limits)
  try {
    const format = await bytes.format()
    if (format === 'zip') await readZip(await store.spool(bytes.packed()), reader, limits)
    else await readTar(bytes, format, reader)
  } catch (error) {
    throw refusal(error)
  } finally {
    bytes.release()
  }
  return reader.tree()
}

async function readTar(bytes: ArchiveBytes, format: 'gzip' | 'tar', reader: EntryReader): Promise<void> {
  const tar = extract()
  const ended = new AbortController()
  const fed = feed(tar, bytes.unpacked(format), ended.signal)
  try {
    await Promise.all([fed, reader.readTar(tar)])
    bytes.requireEnd()
  } finally {
    // Whoever failed, the other one lets go of the body.
    ended.abort()
    fed.catch(() => {})
    tar.on('error', () => {}).destroy()
  }
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
  readonly #limits: ArchiveLimits
  readonly #chunks: AsyncGenerator<Buffer>
  #head: Buffer = Buffer.alloc(0)
  #packed = 0
  #unpacked = 0
  #zerosAtEnd = 0

  constructor(body: Readable, limits: ArchiveLimits) {
    this.#limits = limits
    this.#chunks = this.#counted(body)
  }

  /** What kind of archive it is, by its first bytes; to be asked once, first. */
  async format(): Promise<'gzip' | 'tar' | 'zip'> {
    while (this.#head.byteLength < formatBytes) {
      const next = await this.#chunks.next()
      if (next.done === true) break
      this.#head = Buffer.concat([this.#head, next.value])
    }
    return archiveFormat(this.#head)
  }

  /** All of it as it was sent. */
  async *packed(): AsyncGenerator<Buffer> {
    yield this.#head
    yield* this.#chunks
  }

  async *unpacked(format: 'gzip' | 'tar'): AsyncGenerator<Buffer> {
    const whole = Readable.from(this.packed(), { objectMode: false })
    try {
      const source = format === 'gzip' ? whole.pipe(createGunzip()) : whole
      // `pipe` does not pass errors on.
      whole.on('error', error => source.destroy(error))
      for await (const chunk of source as AsyncIterable<Buffer>) {
        this.#unpacked += chunk.byteLength
        requireModestSize(this.#unpacked, this.#packed, this.#limits)
        this.#countZeros(chunk)
        yield chunk
      }
    } finally {
      whole.on('error', () => {}).destroy()
      this.release()
    }
  }

  /** Not waited for: the next piece may be long in coming. The body is then free for whoever reads the rest. */
  release(): void {
    void this.#chunks.return(undefined)
  }

  /** An archive ends with blocks of zeros; one that does not was cut off. */
  requireEnd(): void {
    if (this.#zerosAtEnd < 512) throw new InvalidArchiveError('The archive is cut off: its end marker is missing.')
  }

  async *#counted(body: Readable): AsyncGenerator<Buffer> {
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      this.#packed += (chunk as Buffer).byteLength
      if (this.#packed > this.#limits.packedBytes) throw tooLarge('The archive', this.#limits.packedBytes)
      yield chunk as Buffer
    }
  }

  #countZeros(chunk: Buffer): void {
    let zeros = 0
    while (zeros < chunk.byteLength && chunk[chunk.byteLength - 1 - zeros] === 0) zeros++
    this.#zerosAtEnd = zeros === chunk.byteLength ? this.#zerosAtEnd + zeros : zeros
  }
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
