import { AppError, type StaticSite } from '@coderunner/contract'
import { isLink, resolveInTree, type SourceTree } from '../sources/source-tree.ts'
import { type Parsed, parseHeaders, parseRedirects, parseStaticfile } from './static-rules.ts'

const maxRuleFileBytes = 512 * 1024
/** Tell how the site is served, and are no part of it. */
const ruleFiles = new Set(['_headers', '_redirects', 'Staticfile', 'Staticfile.auth'])

/**
 * A site with the rules of its `_redirects` and `_headers` (in `root`) and its `Staticfile` (in the project), and warnings
 * about those that cannot be followed. `read` gives the content of an uploaded file.
 */
export async function siteWithRules(options: {
  tree: SourceTree
  root: string
  /** Wanted for other reasons than the Staticfile. */
  indexFallback: boolean
  read(hash: string, maxBytes: number): Promise<Buffer>
}): Promise<Parsed<StaticSite>> {
  const { tree, root } = options
  const site = staticSite(tree, root)
  const files = new Map(tree.map(entry => [entry.path, entry]))
  const warnings: string[] = []
  const parse = async <T>(path: string, parser: (text: string) => Parsed<T>): Promise<T | undefined> => {
    const entry = files.get(path)
    if (entry === undefined || isLink(entry)) return undefined
    if (entry.size > maxRuleFileBytes) {
      warnings.push(`${path} is larger than 512 KB and is ignored.`)
      return undefined
    }
    const parsed = parser((await options.read(entry.hash, maxRuleFileBytes)).toString())
    warnings.push(...parsed.warnings)
    return parsed.rules
  }
  const below = root === '.' ? '' : `${root}/`
  const redirects = await parse(`${below}_redirects`, parseRedirects)
  const headers = await parse(`${below}_headers`, parseHeaders)
  const staticfile = await parse('Staticfile', parseStaticfile)
  return {
    rules: {
      ...site,
      indexFallback: staticfile?.indexFallback ?? options.indexFallback,
      ...(redirects === undefined ? {} : { redirects }),
      ...(headers === undefined ? {} : { headers }),
    },
    warnings,
  }
}

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
    if (isHidden(path) || ruleFiles.has(path)) continue
    const file = isLink(entry) ? resolveInTree(entries, entry.path) : entry
    // A link to a folder or to nothing; one to a hidden file would publish it.
    if (file === undefined || file === 'outside' || (isLink(entry) && isHidden(file.path))) continue
    files.push({ path: `/${path}`, hash: file.hash, size: file.size })
  }
  if (files.length === 0) throw new AppError('nothing_to_run', `There is no file to publish in ${root}.`)
  return { files, indexFallback: false }
}

/** Names that builds give the page for unknown paths, where it is not index.html. */
const fallbackPages = ['/200.html', '/index.csr.html', '/__spa-fallback.html']

/** With an index.html, which answers unknown paths: what the build made for them where it has made none of that name. */
export function withIndex(files: StaticSite['files']): StaticSite['files'] {
  if (files.some(file => file.path === '/index.html')) return files
  const page = fallbackPages.flatMap(path => files.find(file => file.path === path) ?? [])[0]
  return page === undefined ? files : [...files, { ...page, path: '/index.html' }]
}

function isHidden(path: string): boolean {
  return path.split('/').some(part => part.startsWith('.') && part !== '.well-known')
}
