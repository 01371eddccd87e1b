import type { StaticSite } from '@coderunner/contract'
import { contentType } from './content-types.ts'
import { HeaderRules, Redirects } from './site-rules.ts'

/** How one file is served. */
export interface SiteEntry {
  hash: string
  size: number
  type: string
  cacheControl: string
  /** Sizes of the compressed forms that are kept beside it. */
  br?: number
  gzip?: number
}

/** A published site: all there is to serve, by URL path. No path of a request ever reaches the file system. */
export interface SiteTable {
  entries: ReadonlyMap<string, SiteEntry>
  indexFallback: boolean
  redirects: Redirects
  headers: HeaderRules
}

export type SiteAnswer =
  /** `path`: the decoded path that was asked for. */
  | { kind: 'file'; entry: SiteEntry; status: 200 | 404; path: string }
  | { kind: 'redirect'; location: string; status: number }
  | { kind: 'invalid' }
  | { kind: 'absent' }

/** Says what is wrong with a file's path, or nothing. */
export function pathProblem(path: string): string | undefined {
  if (path.length > 2048 || !path.startsWith('/') || path.endsWith('/')) return 'is not an absolute path of a file'
  if (/[\p{Cc}\\]/u.test(path)) return 'has control characters or backslashes'
  if (
    path
      .slice(1)
      .split('/')
      .some(part => part === '' || part === '.' || part === '..')
  )
    return 'has empty or dot parts'
  return undefined
}

/** Files with a part that begins with a dot are not served, but for `/.well-known/`. */
export function isServed(path: string): boolean {
  const rest = path.startsWith('/.well-known/') ? path.slice('/.well-known'.length) : path
  return !rest.includes('/.')
}

export function tableOf(site: StaticSite, compressed: ReadonlyMap<string, { br?: number; gzip?: number }>): SiteTable {
  const entries = new Map<string, SiteEntry>()
  for (const { path, hash, size } of site.files) {
    if (!isServed(path)) continue
    entries.set(path, {
      hash,
      size,
      type: contentType(path),
      cacheControl: cacheControl(path),
      ...compressed.get(hash),
    })
  }
  return {
    entries,
    indexFallback: site.indexFallback,
    redirects: new Redirects(site.redirects),
    headers: new HeaderRules(site.headers),
  }
}

/**
 * What a request's target (path and query as sent) gets: what the site's redirects say, the file itself, `index.html` of a
 * folder, `/path.html` for `/path`, a redirect from a folder's name to the folder and from `/path/` to `/path`, the index of
 * a single-page application, or `/404.html`.
 */
export function lookUp(table: SiteTable, target: string): SiteAnswer {
  const { entries, indexFallback, redirects } = table
  const question = target.indexOf('?')
  const raw = question < 0 ? target : target.slice(0, question)
  const query = question < 0 ? '' : target.slice(question)
  const path = decoded(raw)
  if (path === undefined) return { kind: 'invalid' }
  const entry = entryOf(entries, path)
  const moved = entry === undefined ? movedTo(entries, path, raw) : undefined
  const ruled = redirects.find(path, query, entry !== undefined || moved !== undefined)
  if (ruled !== undefined) {
    if (ruled.status !== 200 && ruled.status !== 404)
      return { kind: 'redirect', location: ruled.target, status: ruled.status }
    const rewritten = entryOf(entries, decoded(ruled.target) ?? ruled.target)
    if (rewritten !== undefined) return { kind: 'file', entry: rewritten, status: ruled.status, path }
  }
  if (entry !== undefined) return { kind: 'file', entry, status: 200, path }
  if (moved !== undefined) return { kind: 'redirect', location: moved + query, status: 301 }
  if (indexFallback && !looksLikeAsset(path)) {
    const index = entries.get('/index.html')
    if (index !== undefined) return { kind: 'file', entry: index, status: 200, path }
  }
  const notFound = entries.get('/404.html')
  return notFound === undefined ? { kind: 'absent' } : { kind: 'file', entry: notFound, status: 404, path }
}

/** Only files that are there under the very path, `index.html` or `.html` added. */
function entryOf(entries: SiteTable['entries'], path: string): SiteEntry | undefined {
  return entries.get(path.endsWith('/') ? `${path}index.html` : path) ?? entries.get(`${path}.html`)
}

/** The same page with or without the slash at the end, when it is there so. */
function movedTo(entries: SiteTable['entries'], path: string, raw: string): string | undefined {
  if (entries.has(`${path}/index.html`)) return `${raw}/`
  return path.endsWith('/') && entries.has(`${path.slice(0, -1)}.html`) ? raw.replace(/(?:\/|%2f)$/i, '') : undefined
}

function decoded(raw: string): string | undefined {
  if (!raw.includes('%')) return raw
  try {
    return decodeURIComponent(raw)
  } catch {
    // Not UTF-8 or a broken escape.
    return undefined
  }
}

/** A missing script or picture must be 404: a page in its place is a puzzle for whoever wrote the application. */
function looksLikeAsset(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (!name.includes('.')) return false
  const type = contentType(name)
  return type !== 'application/octet-stream' && !type.startsWith('text/html')
}

const bundlerFolder = /\/(?:assets|_next\/static|static\/(?:js|css|media)|_app\/immutable|_astro|_nuxt|build)\//
const bundlerName = /[-._]([A-Za-z0-9_-]{8,40})\.[a-z0-9]+(?:\.map)?$/
const hexName = /[-._](?=[0-9a-f]*[0-9])[0-9a-f]{8,64}\.[a-z0-9]+(?:\.map)?$/

/** Files whose name holds a hash of their content never change; all others are asked for again each time (304). */
function cacheControl(path: string): string {
  if (contentType(path).startsWith('text/html')) return 'no-cache'
  const hash = bundlerFolder.test(path) ? bundlerName.exec(path)?.[1] : undefined
  const hashed = (hash !== undefined && /[A-Z0-9_]/.test(hash)) || hexName.test(path)
  return hashed ? 'public, max-age=31536000, immutable' : 'no-cache'
}
