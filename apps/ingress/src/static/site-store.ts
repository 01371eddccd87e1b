import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { AppError, newId, StaticSite } from '@coderunner/contract'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { contentType, isCompressible } from './content-types.ts'
import { pathProblem, type SiteTable, tableOf } from './site-table.ts'

const compressBrotli = promisify(brotliCompress)
const compressGzip = promisify(gzip)

const maxBlobBytes = 1024 ** 3
const compressFromBytes = 1024
const compressToBytes = 16 * 1024 * 1024
const smallBytes = 256 * 1024
const cachedBytes = 64 * 1024 * 1024
const cachedTables = 500
const orphanMs = 24 * 3600 * 1000

const Compressed = Type.Record(
  Type.String(),
  Type.Object({ br: Type.Optional(Type.Integer()), gzip: Type.Optional(Type.Integer()) }),
)
const PublishedSite = Type.Object({ site: StaticSite, compressed: Compressed })
const publishedSite = Compile(PublishedSite)

/**
 * The files of static sites, by content, on the ingress' own disk:
 *
 *     blobs/<hash> [.br] [.gzip]          each content once, whatever the number of sites it is in
 *     sites/<site id>/site.json           what the site consists of
 *     sites/<site id>/files/<hash>        a hard link: the number of links says whether a content is still used
 */
export class SiteStore {
  readonly #directory: string
  readonly #tables = new Map<string, Promise<SiteTable | undefined>>()
  readonly #small = new Map<string, Buffer>()
  #smallBytes = 0
  /** Publishing and deleting, one after the other. */
  #changes: Promise<unknown> = Promise.resolve()

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async open(directory: string): Promise<SiteStore> {
    const store = new SiteStore(directory)
    await mkdir(path.join(directory, 'sites'), { recursive: true, mode: 0o700 })
    await mkdir(path.join(directory, 'blobs'), { recursive: true, mode: 0o700 })
    await rm(path.join(directory, 'incoming'), { recursive: true, force: true })
    await mkdir(path.join(directory, 'incoming'), { mode: 0o700 })
    await store.#change(() => store.#sweep(Date.now()))
    return store
  }

  async has(siteId: string): Promise<boolean> {
    return (await this.table(siteId)) !== undefined
  }

  /** The resolved table of a published site. */
  table(siteId: string): Promise<SiteTable | undefined> {
    let table = this.#tables.get(siteId)
    if (table === undefined) {
      table = this.#load(siteId)
      this.#tables.set(siteId, table)
      table.then(
        found => found === undefined && this.#tables.delete(siteId),
        () => this.#tables.delete(siteId),
      )
      const [oldest] = this.#tables.keys()
      if (this.#tables.size > cachedTables && oldest !== undefined) this.#tables.delete(oldest)
    }
    return table
  }

  /** Stores a file's content when it is what its hash says. */
  async putBlob(hash: string, body: Readable): Promise<void> {
    const incoming = path.join(this.#directory, 'incoming', newId())
    const digest = createHash('sha256')
    let bytes = 0
    try {
      await pipeline(
        body,
        async function* (source: AsyncIterable<Buffer>) {
          for await (const chunk of source) {
            bytes += chunk.length
            if (bytes > maxBlobBytes) throw new AppError('too_large', 'A file of a static site may have 1 GB at most.')
            digest.update(chunk)
            yield chunk
          }
        },
        createWriteStream(incoming, { mode: 0o600 }),
      )
      const found = digest.digest('hex')
      if (found !== hash) throw new AppError('invalid_request', `The content has the hash ${found}, not ${hash}.`)
      await rename(incoming, this.blobFile(hash))
    } finally {
      await rm(incoming, { force: true })
    }
  }

  /** Publishes a site, or returns the hashes of the contents that are missing and changes nothing. */
  async publish(siteId: string, site: StaticSite): Promise<string[]> {
    for (const file of site.files) {
      const problem = pathProblem(file.path)
      if (problem !== undefined)
        throw new AppError('invalid_request', `The path ${JSON.stringify(file.path)} ${problem}.`)
    }
    return this.#change(() => this.#publish(siteId, site))
  }

  async remove(siteId: string): Promise<void> {
    await this.#change(async () => {
      this.#tables.delete(siteId)
      const folder = this.#siteFolder(siteId)
      const hashes = await readdir(path.join(folder, 'files')).catch(() => [])
      await rm(folder, { recursive: true, force: true })
      for (const hash of hashes) await this.#removeUnused(hash)
    })
  }

  blobFile(hash: string, encoding?: 'br' | 'gzip'): string {
    return path.join(this.#directory, 'blobs', encoding === undefined ? hash : `${hash}.${encoding}`)
  }

  /** The content of a small file, kept in memory while it is asked for often; undefined for a big one. */
  async small(hash: string, encoding: 'br' | 'gzip' | undefined, size: number): Promise<Buffer | undefined> {
    if (size > smallBytes) return undefined
    const key = `${hash}.${encoding ?? ''}`
    const cached = this.#small.get(key)
    if (cached !== undefined) {
      this.#small.delete(key)
      this.#small.set(key, cached)
      return cached
    }
    const content = await readFile(this.blobFile(hash, encoding))
    if (!this.#small.has(key)) this.#smallBytes += content.length
    this.#small.set(key, content)
    for (const [oldest, buffer] of this.#small) {
      if (this.#smallBytes <= cachedBytes) break
      this.#small.delete(oldest)
      this.#smallBytes -= buffer.length
    }
    return content
  }

  async #publish(siteId: string, site: StaticSite): Promise<string[]> {
    const types = new Map(site.files.map(file => [file.hash, contentType(file.path)]))
    const sizes = new Map(site.files.map(file => [file.hash, file.size]))
    const missing: string[] = []
    for (const [hash, size] of sizes) {
      const found = await stat(this.blobFile(hash)).catch(() => undefined)
      if (found === undefined) missing.push(hash)
      else if (found.size !== size)
        throw new AppError('invalid_request', `${hash} has ${found.size} bytes, not ${size}.`)
    }
    if (missing.length > 0) return missing

    const compressed: Static<typeof Compressed> = {}
    for (const [hash, type] of types) {
      const size = sizes.get(hash) ?? 0
      if (isCompressible(type) && size > compressFromBytes && size <= compressToBytes)
        compressed[hash] = await this.#compress(hash, size)
    }
    // Made beside the old one and put in its place, so that a site is either as before or as ordered.
    const folder = this.#siteFolder(siteId)
    const incoming = path.join(this.#directory, 'incoming', newId())
    await mkdir(path.join(incoming, 'files'), { recursive: true, mode: 0o700 })
    for (const hash of types.keys()) await link(this.blobFile(hash), path.join(incoming, 'files', hash))
    await writeFile(path.join(incoming, 'site.json'), JSON.stringify({ site, compressed }), {
      mode: 0o600,
      flush: true,
    })
    const before = await readdir(path.join(folder, 'files')).catch(() => [])
    const old = path.join(this.#directory, 'incoming', newId())
    if (before.length > 0) await rename(folder, old)
    await rename(incoming, folder)
    this.#tables.delete(siteId)
    await rm(old, { recursive: true, force: true })
    for (const hash of before) if (!types.has(hash)) await this.#removeUnused(hash)
    return []
  }

  /** Makes the compressed forms that are smaller; their sizes. */
  async #compress(hash: string, size: number): Promise<{ br?: number; gzip?: number }> {
    const sizes: { br?: number; gzip?: number } = {}
    let content: Buffer | undefined
    for (const encoding of ['br', 'gzip'] as const) {
      const file = this.blobFile(hash, encoding)
      const there = await stat(file).catch(() => undefined)
      if (there !== undefined) {
        sizes[encoding] = there.size
        continue
      }
      content ??= await readFile(this.blobFile(hash))
      const parameters = { [constants.BROTLI_PARAM_QUALITY]: 7, [constants.BROTLI_PARAM_SIZE_HINT]: size }
      const small =
        encoding === 'br'
          ? await compressBrotli(content, { params: parameters })
          : await compressGzip(content, { level: 8 })
      if (small.length > size * 0.95) continue
      const incoming = path.join(this.#directory, 'incoming', newId())
      await writeFile(incoming, small, { mode: 0o600 })
      await rename(incoming, file)
      sizes[encoding] = small.length
    }
    return sizes
  }

  async #load(siteId: string): Promise<SiteTable | undefined> {
    const text = await readFile(path.join(this.#siteFolder(siteId), 'site.json'), 'utf8').catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined
        throw error
      },
    )
    if (text === undefined) return undefined
    const { site, compressed } = publishedSite.Parse(JSON.parse(text))
    return tableOf(site, new Map(Object.entries(compressed)))
  }

  #siteFolder(siteId: string): string {
    return path.join(this.#directory, 'sites', siteId)
  }

  /** Deletes a content that no site links to. */
  async #removeUnused(hash: string): Promise<void> {
    const found = await stat(this.blobFile(hash)).catch(() => undefined)
    if (found === undefined || found.nlink > 1) return
    for (const file of [this.blobFile(hash), this.blobFile(hash, 'br'), this.blobFile(hash, 'gzip')])
      await rm(file, { force: true })
  }

  /** Deletes contents that were sent long ago for a site that was never published. */
  async #sweep(now: number): Promise<void> {
    for (const name of await readdir(path.join(this.#directory, 'blobs'))) {
      if (name.includes('.')) continue
      const found = await stat(this.blobFile(name))
      if (found.nlink === 1 && found.mtimeMs < now - orphanMs) await this.#removeUnused(name)
    }
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const change = this.#changes.then(work)
    this.#changes = change.catch(() => {})
    return change
  }
}
