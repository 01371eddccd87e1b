/**
 * Reads a zip archive that lies whole in a file: its list of contents is at the end. The list is not believed either:
 * sizes and checksums are counted again, each content has to lie where no other does, and the name before a content has to
 * be that of the list.
 */
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { AppError } from '@coderunner/contract'
import { type Entry, fromFdPromise, getFileNameLowLevel, type ZipFile } from 'yauzl'
import type { EntryReader, FoundEntry } from './archive-entries.ts'
import { type ArchiveLimits, requireModestSize } from './archive-limits.ts'
import { InvalidArchiveError } from './invalid-archive.ts'
import { shown } from './source-tree.ts'

interface ZipEntry extends FoundEntry {
  raw: Entry
}

const madeOnUnix = new Set([3, 19])
const kinds: Record<number, FoundEntry['type'] | undefined> = {
  0x1000: 'fifo',
  0x2000: 'character-device',
  0x4000: 'directory',
  0x6000: 'block-device',
  0x8000: 'file',
  0xa000: 'symlink',
}
const longestLink = 1024
/** What macOS puts beside the files it packs. */
const companion = /^(\.\/)?__MACOSX(\/|$)/

export async function readZip(path: string, reader: EntryReader, limits: ArchiveLimits): Promise<void> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const zip = await fromFdPromise(handle.fd, { decodeStrings: false, autoClose: false })
    const entries = await listed(zip, size, limits)
    await requireApart(zip, entries)
    for (const entry of entries) {
      const { raw } = entry
      if (entry.type === 'symlink') entry.linkname = await linkTarget(zip, entry)
      await reader.read(entry, contentOf(zip, raw, entry.name))
    }
  } catch (error) {
    throw refusal(error)
  } finally {
    await handle.close()
  }
}

async function listed(zip: ZipFile, size: number, limits: ArchiveLimits): Promise<ZipEntry[]> {
  if (zip.entryCount > limits.entries)
    throw new InvalidArchiveError(`The archive has more than ${limits.entries} entries.`)
  const entries: ZipEntry[] = []
  let unpacked = 0
  for await (const raw of zip.eachEntry()) {
    const name = nameOf(raw)
    if (companion.test(name)) continue
    if (raw.isEncrypted()) throw refused(name, 'is encrypted: send an archive without a password')
    if (!raw.canDecodeFileData())
      throw refused(name, `is packed by method ${raw.compressionMethod}; only deflate and none are taken`)
    unpacked += raw.uncompressedSize
    requireModestSize(unpacked, size, limits)
    entries.push({ raw, name, ...kindOf(raw, name) })
  }
  return entries
}

/** Contents that share bytes make a small archive unpack to a huge one, and hide what is in it. */
async function requireApart(zip: ZipFile, entries: readonly ZipEntry[]): Promise<void> {
  const ranges: { name: string; from: number; to: number }[] = []
  for (const { raw, name } of entries) {
    const local = await zip.readLocalFileHeaderPromise(raw)
    if (!local.fileName.equals(raw.fileNameRaw)) throw refused(name, 'has another name before its content')
    ranges.push({ name, from: raw.relativeOffsetOfLocalHeader, to: local.fileDataStart + raw.compressedSize })
  }
  ranges.sort((a, b) => a.from - b.from)
  for (const [at, range] of ranges.entries()) {
    const before = ranges[at - 1]
    if (before !== undefined && range.from < before.to)
      throw refused(range.name, `overlaps “${shown(before.name)}”, as in a decompression bomb`)
  }
}

async function* contentOf(zip: ZipFile, raw: Entry, name: string): AsyncGenerator<Buffer> {
  const stream = await zip.openReadStreamPromise(raw)
  let checksum = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      checksum = crc32(chunk, checksum)
      yield chunk
    }
  } finally {
    stream.on('error', () => {}).destroy()
  }
  if (checksum !== raw.crc32) throw refused(name, 'is damaged: its checksum is another')
}

async function linkTarget(zip: ZipFile, { raw, name }: ZipEntry): Promise<string> {
  if (raw.uncompressedSize > longestLink) throw refused(name, 'is a link with an unusable target')
  const parts: Buffer[] = []
  for await (const chunk of contentOf(zip, raw, name)) parts.push(chunk)
  return Buffer.concat(parts).toString('utf8')
}

function kindOf(raw: Entry, name: string): Pick<FoundEntry, 'type' | 'mode'> {
  const mode = madeOnUnix.has(raw.versionMadeBy >>> 8) ? raw.externalFileAttributes >>> 16 : 0
  const type = (mode & 0xf000) === 0 ? (name.endsWith('/') ? 'directory' : 'file') : kinds[mode & 0xf000]
  if (type === undefined) throw refused(name, 'is of an unknown kind')
  if (type === 'file' && name.endsWith('/')) throw refused(name, 'is a file with the name of a folder')
  return { type, mode: mode & 0o777 }
}

/** UTF-8 where it can be read so: many programs write it without saying so. */
function nameOf(raw: Entry): string {
  const bytes = raw.fileNameRaw
  const hasUnicodeField = raw.extraFields.some(({ id }) => id === 0x7075)
  if (!hasUnicodeField)
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes).replaceAll('\\', '/')
    } catch {
      // In the code page of old: below.
    }
  return getFileNameLowLevel(raw.generalPurposeBitFlag, bytes, raw.extraFields, false)
}

function refused(path: string, problem: string): InvalidArchiveError {
  return new InvalidArchiveError(`The archive was refused: “${shown(path)}” ${problem}.`)
}

function refusal(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error
  const code = 'code' in error ? String(error.code) : ''
  // Of the system: no matter of the archive.
  if (/^E[A-Z]/.test(code) && code !== 'EINVAL') return error
  const cutOff = /end of central directory|unexpected EOF/i.test(error.message)
  return new InvalidArchiveError(
    cutOff ? 'The zip archive is cut off: its end is missing.' : `The zip archive is damaged (${error.message}).`,
    { cause: error },
  )
}
