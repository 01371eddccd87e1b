import { AppError, type StaticSite } from '@coderunner/contract'
import { isLink, resolveInTree, type SourceTree } from '../sources/source-tree.ts'

/**
 * The files of a site below `root`: links followed, hidden files left out (`.well-known` excepted). Every URL path names
 * one content; nothing is looked up on a disk later.
 */
export function staticSite(tree: SourceTree, root: string): StaticSite {
  const entries = new Map(tree.map(entry => [entry.path, entry]))
  const below = root === '.' ? '' : `${root}/`
  const files: StaticSite['files'] = []
  for (const entry of tree) {
    if (!entry.path.startsWith(below)) continue
    const path = entry.path.slice(below.length)
    if (isHidden(path)) continue
    const file = isLink(entry) ? resolveInTree(entries, entry.path) : entry
    // A link to a folder or to nothing; one to a hidden file would publish it.
    if (file === undefined || file === 'outside' || (isLink(entry) && isHidden(file.path))) continue
    files.push({ path: `/${path}`, hash: file.hash, size: file.size })
  }
  if (files.length === 0) throw new AppError('nothing_to_run', `There is no file to publish in ${root}.`)
  return { files, indexFallback: false }
}

function isHidden(path: string): boolean {
  return path.split('/').some(part => part.startsWith('.') && part !== '.well-known')
}
