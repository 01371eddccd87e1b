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

/** Names at the top, folders with a slash, as `ls -p` shows them; at most `max`. */
export function topLevel(paths: readonly string[], max = 40): string[] {
  const names = new Set(paths.map(path => (path.includes('/') ? `${path.slice(0, path.indexOf('/'))}/` : path)))
  const sorted = [...names].sort()
  return sorted.length > max ? [...sorted.slice(0, max), `… and ${sorted.length - max} more`] : sorted
}
