import { isLink, type SourceTree, treeProblem } from './source-tree.ts'

/** Folders that say themselves what lies in them: taking them off would lose it. */
const meaningful = new Set(
  'api app apps assets backend bin client cmd dist docs frontend functions lib packages public server site src static test tests web www'.split(
    ' ',
  ),
)

/**
 * What an archive holds without the one folder that all of it lies in, as code hosts pack repositories (`repo-main/…`).
 * As it is when there is no such folder, or when the folder is part of the project.
 */
export function withoutWrappingFolder(tree: SourceTree): SourceTree {
  const [folder] = tree[0]?.path.split('/') ?? []
  if (folder === undefined || folder.startsWith('.') || meaningful.has(folder)) return tree
  const prefix = `${folder}/`
  if (!tree.every(entry => entry.path.startsWith(prefix))) return tree
  const inner = tree.map(entry => ({ ...entry, path: entry.path.slice(prefix.length) }))
  // A link may count on the folder's name.
  return inner.some(isLink) && treeProblem(inner) !== undefined ? tree : inner
}

/** The part of a tree below a folder, or nothing when there is no such folder. Links out of the folder are left to the caller. */
export function treeBelow(tree: SourceTree, folder: string): SourceTree | undefined {
  const prefix = `${folder}/`
  const inner = tree.flatMap(entry =>
    entry.path.startsWith(prefix) ? [{ ...entry, path: entry.path.slice(prefix.length) }] : [],
  )
  return inner.length === 0 ? undefined : inner
}
