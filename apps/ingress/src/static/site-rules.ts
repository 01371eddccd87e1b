import { type SiteHeaders, type SiteRedirect, siteHeaderProblem } from '@coderunner/contract'

/** What the placeholders of a pattern stood for: decoded, `splat` for the `*`. */
export type Captures = Record<string, string>

/**
 * A path with `:name` for whole parts and at most one `*` for any rest, compared with decoded paths. The regular expression
 * is made of parts that each can fit in one way only, so that no path makes it search for long.
 */
export class PathPattern {
  readonly #pattern: string
  /** All paths that fit begin so. */
  readonly #begin: string
  readonly #isPlain: boolean
  #expression: RegExp | undefined

  constructor(pattern: string) {
    this.#pattern = withoutSlash(pattern)
    const wild = /\/:[A-Za-z]\w*|\*/.exec(this.#pattern)
    this.#isPlain = wild === null
    // `/folder/*` fits `/folder` too.
    this.#begin = withoutSlash(this.#pattern.slice(0, wild?.index))
  }

  match(decodedPath: string): Captures | undefined {
    const path = withoutSlash(decodedPath)
    if (this.#isPlain) return path === this.#pattern ? {} : undefined
    if (this.#begin !== '/' && !path.startsWith(this.#begin)) return undefined
    this.#expression ??= expressionOf(this.#pattern)
    // A splat keeps the slash at its end.
    const found = this.#expression.exec(this.#pattern.endsWith('*') ? decodedPath : path)
    return found === null ? undefined : { splat: '', ...withoutAbsent(found.groups) }
  }
}

function expressionOf(pattern: string): RegExp {
  const names = new Set<string>()
  const source = pattern.replace(/\/\*$|\*|\/:([A-Za-z]\w*)(?=\/|$)|[^*/]+|\//g, (part, name?: string) => {
    if (part === '/*') return '(?:/(?<splat>.*))?'
    if (part === '*') return '(?<splat>.*)'
    if (name === undefined) return part.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
    if (names.has(name) || name === 'splat') return '/[^/]+'
    names.add(name)
    return `/(?<${name}>[^/]+)`
  })
  return new RegExp(`^${source}$`, 's')
}

export interface Redirection {
  status: SiteRedirect['status']
  /** Of a rewrite: the path, as in a URL, whose content is answered. Of a redirect: the value of Location. */
  target: string
}

/** The redirects of a site, in order. */
export class Redirects {
  readonly #rules: { rule: SiteRedirect; pattern: PathPattern }[]

  constructor(rules: readonly SiteRedirect[] = []) {
    this.#rules = rules.map(rule => ({ rule, pattern: new PathPattern(rule.from) }))
  }

  /** The first that fits; where there is a file only one that is forced. `query` begins with `?` or is empty. */
  find(path: string, query: string, hasFile: boolean): Redirection | undefined {
    for (const { rule, pattern } of this.#rules) {
      if (hasFile && !rule.force) continue
      const captures = pattern.match(path)
      if (captures === undefined) continue
      const parameters = rule.query === undefined ? {} : matchQuery(rule.query, query)
      if (parameters === undefined) continue
      const filled = { ...captures, ...parameters }
      if (rule.status === 200 || rule.status === 404)
        return { status: rule.status, target: fill(rule.to.split(/[?#]/, 1)[0] as string, filled, encodePath) }
      const target = locationOf(rule, filled, query)
      // It would lead to where it comes from, for ever.
      if (target !== encodePath(path) + query) return { status: rule.status, target }
    }
    return undefined
  }
}

function matchQuery(wanted: Record<string, string>, query: string): Captures | undefined {
  const given = new URLSearchParams(query)
  const captures: Captures = {}
  for (const [name, value] of Object.entries(wanted)) {
    const found = given.get(name)
    if (found === null) return undefined
    if (value.startsWith(':')) captures[value.slice(1)] = found
    else if (value !== found) return undefined
  }
  return captures
}

/** The client's query goes along unless the rule is about it or the target has one. */
function locationOf(rule: SiteRedirect, captures: Captures, query: string): string {
  const [beforeHash, hash] = split(rule.to, '#')
  const [path, ownQuery] = split(beforeHash, '?')
  let target = fill(path, captures, encodePath)
  // What came in with the path must not become a host.
  if (rule.to.startsWith('/')) target = target.replace(/^\/[/\\]+/, '/')
  const rest = ownQuery !== undefined ? `?${fill(ownQuery, captures, encodeURIComponent)}` : rule.query ? '' : query
  return target + rest + (hash === undefined ? '' : `#${fill(hash, captures, encodeURIComponent)}`)
}

function fill(template: string, captures: Captures, encode: (part: string) => string): string {
  return template.replace(/:([A-Za-z]\w*)/g, (whole, name: string) =>
    Object.hasOwn(captures, name) ? encode(captures[name] as string) : whole,
  )
}

/** The header rules of a site. */
export class HeaderRules {
  readonly #rules: { pattern: PathPattern; headers: [string, string][] }[]

  constructor(rules: readonly SiteHeaders[] = []) {
    this.#rules = rules.map(rule => ({
      pattern: new PathPattern(rule.for),
      headers: rule.headers.filter(([name, value]) => siteHeaderProblem(name, value) === undefined),
    }))
  }

  /**
   * Puts what the rules for a path say over the headers of an answer: a rule replaces what the server would have sent, and
   * several values of one name are joined, but for cookies. Names in lower case.
   */
  apply(path: string, headers: Record<string, string | number | string[]>): void {
    if (this.#rules.length === 0) return
    const set = new Set<string>()
    for (const { pattern, headers: own } of this.#rules) {
      if (pattern.match(path) === undefined) continue
      for (const [name, value] of own) {
        const key = name.toLowerCase()
        const before = set.has(key) ? headers[key] : undefined
        if (value === '') {
          delete headers[key]
          set.delete(key)
          continue
        }
        set.add(key)
        if (key === 'set-cookie') headers[key] = [...(Array.isArray(before) ? before : []), value]
        else if (key === 'vary') headers[key] = [headers[key], value].filter(Boolean).join(', ')
        else headers[key] = before === undefined ? value : `${String(before)}, ${value}`
      }
    }
  }
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

function split(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function withoutAbsent(groups: Record<string, string | undefined> = {}): Captures {
  return Object.fromEntries(Object.entries(groups).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

const withoutSlash = (path: string) => (path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path)
