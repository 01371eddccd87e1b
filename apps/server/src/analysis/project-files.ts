import { AppError } from '@coderunner/contract'

/** What an analyser may look at: the list of paths and, of a few files, their text. */
export interface ProjectFiles {
  readonly paths: readonly string[]
  has(path: string): boolean
  /** Undefined when there is no such file. Throws when it is no text of a sane size. */
  read(path: string): Promise<string | undefined>
}

export function projectFiles(
  paths: readonly string[],
  readFile: (path: string) => Promise<Buffer | undefined>,
): ProjectFiles {
  const all = new Set(paths)
  return {
    paths,
    has: path => all.has(path),
    async read(path) {
      if (!all.has(path)) return undefined
      // A byte order mark is no part of the text.
      return (await readFile(path))?.toString('utf8').replace(/^\uFEFF/, '')
    },
  }
}

/** The same files as a folder's: paths without it, and nothing else of the upload. */
export function folderFiles(files: ProjectFiles, folder: string): ProjectFiles {
  const below = `${folder}/`
  const paths = files.paths.filter(path => path.startsWith(below)).map(path => path.slice(below.length))
  const all = new Set(paths)
  return {
    paths,
    has: path => all.has(path),
    read: path => (all.has(path) ? files.read(below + path) : Promise.resolve(undefined)),
  }
}

/** The folder's path without `./` and the like, empty for the whole. Throws when there is no such folder. */
export function existingFolder(files: ProjectFiles, folder: string): string {
  const parts = folder.split('/').filter(part => part !== '' && part !== '.')
  const path = parts.join('/')
  if (path === '') return ''
  if (!parts.includes('..') && files.paths.some(file => file.startsWith(`${path}/`))) return path
  const folders = topLevel(files.paths).filter(name => name.endsWith('/'))
  const there = folders.length === 0 ? 'There are no folders at all.' : `Folders at the top: ${folders.join('  ')}`
  throw new AppError('build_failed', `There is no folder ${folder} in the upload. ${there}`)
}

/** Names at the top, folders with a slash, as `ls -p` shows them; at most `max`. */
export function topLevel(paths: readonly string[], max = 40): string[] {
  const names = new Set(paths.map(path => (path.includes('/') ? `${path.slice(0, path.indexOf('/'))}/` : path)))
  const sorted = [...names].sort()
  return sorted.length > max ? [...sorted.slice(0, max), `… and ${sorted.length - max} more`] : sorted
}
