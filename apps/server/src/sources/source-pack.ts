import { once } from 'node:events'
import { Readable } from 'node:stream'
import { type Pack, pack } from 'tar-stream'
import { isLink, type SourceTree } from './source-tree.ts'

/** Opens the content of a file by its hash. */
export type OpenBlob = (hash: string) => Readable

/**
 * An uncompressed tar stream of a tree. `replaced` gives some files another content. Modification times are those of the
 * packing: with a constant one, caches that go by time and size would miss changes.
 */
export function packSource(
  tree: SourceTree,
  open: OpenBlob,
  replaced: ReadonlyMap<string, Buffer> = new Map(),
): Readable {
  return Readable.from(packed(tree, open, replaced), { objectMode: false, highWaterMark: 256 * 1024 })
}

async function* packed(tree: SourceTree, open: OpenBlob, replaced: ReadonlyMap<string, Buffer>) {
  const tar = pack()
  // An error is thrown by the iteration below.
  tar.on('error', () => {})
  const ended = new AbortController()
  const filling = fill(tar, tree, open, replaced, ended.signal).catch((error: Error) => tar.destroy(error))
  try {
    yield* tar as unknown as AsyncIterable<Buffer>
  } finally {
    ended.abort()
    tar.destroy()
    await filling
  }
}

async function fill(
  tar: Pack,
  tree: SourceTree,
  open: OpenBlob,
  replaced: ReadonlyMap<string, Buffer>,
  signal: AbortSignal,
): Promise<void> {
  const mtime = new Date()
  for (const entry of tree) {
    signal.throwIfAborted()
    if (isLink(entry)) {
      tar.entry({ name: entry.path, type: 'symlink', linkname: entry.link, mode: 0o777, mtime })
      continue
    }
    const mode = entry.executable ? 0o755 : 0o644
    const content = replaced.get(entry.path)
    if (content !== undefined) {
      tar.entry({ name: entry.path, mode, mtime }, content)
      continue
    }
    const sink = tar.entry({ name: entry.path, mode, mtime, size: entry.size })
    sink.on('error', () => {})
    for await (const chunk of open(entry.hash)) if (!sink.write(chunk)) await once(sink, 'drain', { signal })
    sink.end(null)
  }
  tar.finalize()
}
