import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type Pack, pack } from 'tar-stream'
import { Failure } from '../failure.ts'
import type { SourceEntry } from './source-folder.ts'

/**
 * A tar.gz of the entries as a stream; the same entries give the same bytes. Nobody's user name, ids or times go with
 * them. Fails when a file changes its size while it is read.
 */
export function archiveStream(entries: readonly SourceEntry[]): ReadableStream<Uint8Array> {
  const tar = pack()
  const gzip = createGzip({ level: 4 })
  fill(tar, entries).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error as Error),
  )
  // The reader of gzip hears of an error here too; pipeline destroys what is left on either side.
  pipeline(tar, gzip).catch((error: unknown) => gzip.destroy(error as Error))
  return Readable.toWeb(gzip) as ReadableStream<Uint8Array>
}

async function fill(tar: Pack, entries: readonly SourceEntry[]): Promise<void> {
  for (const entry of entries) await (entry.kind === 'link' ? addLink(tar, entry) : addFile(tar, entry))
}

function addLink(tar: Pack, { path, target }: SourceEntry & { kind: 'link' }): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ name: path, type: 'symlink', linkname: target, mtime: new Date(0), mode: 0o777 }, error =>
      error ? reject(error) : resolve(),
    )
  })
}

async function addFile(tar: Pack, file: SourceEntry & { kind: 'file' }): Promise<void> {
  const { path, size, executable } = file
  const sink = tar.entry({ name: path, size, mtime: new Date(0), mode: executable ? 0o755 : 0o644 })
  await pipeline(contentOf(file), sink as unknown as NodeJS.WritableStream)
}

async function* contentOf({ path, absolute, size }: SourceEntry & { kind: 'file' }): AsyncGenerator<Buffer> {
  let read = 0
  try {
    for await (const chunk of createReadStream(absolute)) {
      read += (chunk as Buffer).length
      if (read > size) throw new Error('it has grown')
      yield chunk as Buffer
    }
    if (read < size) throw new Error('it has shrunk')
  } catch (cause) {
    throw new Failure('source_changed', `${path} could not be read as it was listed: ${(cause as Error).message}`)
  }
}
