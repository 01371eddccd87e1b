/**
 * What an upload is: a list of files and symbolic links, paths relative to the project's root with `/` between the parts.
 * Directories exist by what lies in them. A tree never leads out of itself: no `..`, nothing absolute, no link that
 * resolves to the outside, nothing below a link or a file.
 */
import { createHash } from 'node:crypto'
import { posix } from 'node:path'

export interface SourceFileEntry {
  path: string
  /** SHA-256 of the content, hexadecimal. */
  hash: string
  size: number
  executable: boolean
}
export interface SourceLink {
  path: string
  /** Target as written, relative to the link's directory. */
  link: string
}
export type SourceEntry = SourceFileEntry | SourceLink
export type SourceTree = readonly SourceEntry[]

export const maxPathBytes = 1024

export function isLink(entry: SourceEntry): entry is SourceLink {
  return 'link' in entry
}

/** Brings `./a//b/` to `a/b`; the root itself becomes the empty string. Leaves `..` and absolute paths for `pathProblem`. */
export function normalPath(path: string): string {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  return (path.startsWith('/') ? '/' : '') + parts.join('/')
}

/** Says what is wrong with a path, or nothing when it is good. */
export function pathProblem(path: string): string | undefined {
  if (path === '' || path === '/') return 'is empty'
  if (path.startsWith('/')) return 'is absolute: paths are relative to the project’s root'
  if (path.split('/').includes('..')) return 'holds “..”'
  if (Buffer.byteLength(path) > maxPathBytes) return `is longer than ${maxPathBytes} bytes`
  if (path.split('/').some(part => Buffer.byteLength(part) > 255)) return 'has a name longer than 255 bytes'
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'holds control characters'
  if (path.includes('\uFFFD') || !path.isWellFormed()) return 'is not valid UTF-8'
  return undefined
}

/** Folders that are never taken: made again by the build, or of no use to it. */
export function isIgnored(path: string): boolean {
  return path.split('/').some(part => part === '.git' || part === 'node_modules')
}

/** For messages: control characters shown as `\x..`, cut at 200 characters. */
export function shown(path: string): string {
  const printable = path.replace(
    // oxlint-disable-next-line no-control-regex -- control characters are what is shown
    /[\u0000-\u001f\u007f]/g,
    character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
  return printable.length > 200 ? `${printable.slice(0, 200)}…` : printable
}

/**
 * Follows links within the tree, as the kernel would, to the file a path means. `outside` when it leads out of the tree or
 * goes round in circles, undefined when nothing is there (or a directory is).
 */
export function resolveInTree(
  entries: ReadonlyMap<string, SourceEntry>,
  path: string,
): SourceFileEntry | 'outside' | undefined {
  let hops = 0
  let at: string[] = []
  let rest = path.split('/')
  while (rest.length > 0) {
    const part = rest.shift() as string
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (at.length === 0) return 'outside'
      at.pop()
      continue
    }
    const entry = entries.get([...at, part].join('/'))
    if (entry !== undefined && isLink(entry)) {
      if (entry.link.startsWith('/') || ++hops > 40) return 'outside'
      rest = [...entry.link.split('/'), ...rest]
      continue
    }
    at = [...at, part]
  }
  const found = entries.get(at.join('/'))
  return found === undefined || isLink(found) ? undefined : found
}

/**
 * What lies in a folder of a tree, paths without it. A link that leads out of the folder becomes the file it means, or is
 * left out where that is none.
 */
export function folderTree(tree: SourceTree, folder: string): SourceEntry[] {
  const entries = new Map(tree.map(entry => [entry.path, entry]))
  const below = `${folder}/`
  const inside = new Map(
    tree.filter(({ path }) => path.startsWith(below)).map(entry => [entry.path.slice(below.length), entry]),
  )
  return [...inside].flatMap(([path, entry]): SourceEntry[] => {
    if (!isLink(entry)) return [{ ...entry, path }]
    const target = posix.normalize(posix.join(posix.dirname(path), entry.link))
    if (!target.startsWith('..')) return [{ ...entry, path }]
    const file = resolveInTree(entries, entry.path)
    return file === undefined || file === 'outside' ? [] : [{ ...file, path }]
  })
}

/** Says what is wrong with a whole list of entries: doubles, files used as folders, links out of the tree. */
export function treeProblem(tree: SourceTree): { path: string; problem: string } | undefined {
  const entries = new Map<string, SourceEntry>()
  for (const entry of tree) {
    if (entries.has(entry.path)) return { path: entry.path, problem: 'is there twice' }
    entries.set(entry.path, entry)
  }
  for (const entry of tree) {
    for (let parent = posix.dirname(entry.path); parent !== '.'; parent = posix.dirname(parent)) {
      const above = entries.get(parent)
      if (above === undefined) continue
      return { path: entry.path, problem: `lies below ${shown(parent)}, which is a ${isLink(above) ? 'link' : 'file'}` }
    }
    if (!isLink(entry)) continue
    if (resolveInTree(entries, entry.path) === 'outside')
      return { path: entry.path, problem: `is a link out of the project (to ${shown(entry.link)})` }
  }
  return undefined
}

/** Names a tree by its content: equal for the same files in any order. */
export function treeHash(tree: SourceTree): string {
  const hash = createHash('sha256')
  const sorted = [...tree].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
  for (const entry of sorted) {
    const kind = isLink(entry) ? `link ${entry.link}` : `${entry.executable ? 'exec' : 'file'} ${entry.hash}`
    hash.update(`${kind}\0${entry.path}\0`)
  }
  return hash.digest('hex')
}
