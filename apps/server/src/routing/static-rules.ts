/**
 * The rules that a static site brings along: `_redirects` and `_headers` as Netlify and Cloudflare Pages read them, and
 * Heroku's `Staticfile`. Pure: text in, rules and warnings out; a line that cannot be used is left out and named.
 */
import {
  maxSiteHeaderLength,
  maxSiteRuleLength,
  maxSiteRules,
  type SiteHeaders,
  type SiteRedirect,
  siteHeaderProblem,
  siteRedirectStatuses,
} from '@coderunner/contract'

export interface Parsed<T> {
  rules: T
  /** Each begins with the file and the line. */
  warnings: string[]
}

const maxWarnings = 20

/** Gathers warnings, the first ones only. */
class Warnings {
  readonly list: string[] = []
  readonly #file: string
  #more = 0

  constructor(file: string) {
    this.#file = file
  }

  add(line: number, problem: string): void {
    if (this.list.length < maxWarnings) this.list.push(`${this.#file}, line ${line}: ${problem}.`)
    else this.#more++
  }

  get all(): string[] {
    return this.#more === 0 ? this.list : [...this.list, `${this.#file}: ${this.#more} more lines are left out.`]
  }
}

/**
 * `from [name=value …] to [status[!]]`, a rule a line. The first that fits is taken; where there is a file it counts only
 * with `!`. Without a status it is 301.
 */
export function parseRedirects(text: string): Parsed<SiteRedirect[]> {
  const warnings = new Warnings('_redirects')
  const rules: SiteRedirect[] = []
  for (const [index, line] of lines(text)) {
    const words = line.replace(/\s+#.*$/, '').split(/\s+/)
    const rule = redirectOf(words)
    if (typeof rule === 'string') warnings.add(index, rule)
    else if (rules.length === maxSiteRules) warnings.add(index, `a site may have ${maxSiteRules} redirects`)
    else rules.push(rule)
  }
  return { rules, warnings: warnings.all }
}

/** The rule, or what is wrong with it. */
function redirectOf(words: string[]): SiteRedirect | string {
  const [from = '', ...rest] = words
  const query: Record<string, string> = {}
  while (rest.length > 1 && isParameter(rest[0] as string)) {
    const [name, value] = split(rest.shift() as string, '=')
    query[name] = value
  }
  const [target, code, ...conditions] = rest
  if (target === undefined) return 'there is no target'
  if (/^https?:/i.test(from)) return 'rules for a whole host name are not offered: let it begin with /'
  const problem = patternProblem(from)
  if (problem !== undefined) return problem
  if (conditions.length > 0) return `conditions (${conditions[0]}) are not offered`
  const [, digits = '301', mark] = /^(\d{3})(!?)$/.exec(code ?? '301') ?? []
  if (code !== undefined && mark === undefined) return `${shown(code)} is no status`
  const status = siteRedirectStatuses.find(known => known === Number(digits))
  if (status === undefined) return `the status ${digits} is not offered, only ${siteRedirectStatuses.join(', ')}`
  const to = encoded(target)
  if (to === undefined || to.length > maxSiteRuleLength)
    return `the target is not a URL of ${maxSiteRuleLength} characters`
  const isExternal = /^(https?:)?\/\//i.test(to)
  if (!isExternal && !to.startsWith('/')) return 'the target must begin with / or with http:// or https://'
  if (isExternal && (status === 200 || status === 404))
    return 'requests are not passed on to other hosts; use a redirect (301, 302)'
  return {
    from: decoded(from),
    ...(Object.keys(query).length > 0 ? { query } : {}),
    to: to.startsWith('//') ? `https:${to}` : to.replace(/^https?:/i, scheme => scheme.toLowerCase()),
    status,
    force: mark === '!',
  }
}

/** `name=value`, but no target, which may have a query too. */
const isParameter = (word: string) => /^[^/=?&:]+=/.test(word)

/** Paths at the beginning of a line, their headers indented below: `Name: value`, or `! Name` to take one away. */
export function parseHeaders(text: string): Parsed<SiteHeaders[]> {
  const warnings = new Warnings('_headers')
  const rules: SiteHeaders[] = []
  let current: SiteHeaders | undefined
  let count = 0
  let isSkipped = false
  for (const [index, line, isIndented] of lines(text)) {
    if (!isIndented) {
      const problem = /^https?:/i.test(line)
        ? 'rules for a whole host name are not offered: let it begin with /'
        : patternProblem(line)
      isSkipped = problem !== undefined
      if (problem !== undefined) warnings.add(index, problem)
      current = undefined
      if (isSkipped) continue
      current = { for: decoded(line), headers: [] }
      rules.push(current)
      continue
    }
    if (isSkipped) continue
    const header = headerOf(line)
    if (current === undefined) warnings.add(index, 'a header stands before any path')
    else if (typeof header === 'string') warnings.add(index, header)
    else if (++count > maxSiteRules) warnings.add(index, `a site may have ${maxSiteRules} headers`)
    else if (current.headers.length === 100) warnings.add(index, 'a path may have 100 headers')
    else current.headers.push(header)
  }
  return { rules: rules.filter(({ headers }) => headers.length > 0), warnings: warnings.all }
}

function headerOf(line: string): [string, string] | string {
  const isRemoved = line.startsWith('!')
  const [name = '', value = ''] = isRemoved ? [line.slice(1).trim(), ''] : split(line, ':').map(part => part.trim())
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || name.length > maxSiteRuleLength)
    return `${shown(name)} is no name of a header`
  if (!isRemoved && value === '') return `${name} has no value`
  if (!/^[\t\x20-\x7e]*$/.test(value)) return `the value of ${name} has characters that a header may not have`
  if (value.length > maxSiteHeaderLength) return `the value of ${name} is longer than ${maxSiteHeaderLength} characters`
  return siteHeaderProblem(name, value) ?? [name, value]
}

export interface Staticfile {
  /** Folder with the files, relative to the project. */
  root?: string
  indexFallback?: boolean
}

const on = new Set(['true', 'enabled', 'yes', 'on'])

/** `name: value`, a setting a line. */
export function parseStaticfile(text: string): Parsed<Staticfile> {
  const warnings = new Warnings('Staticfile')
  const rules: Staticfile = {}
  for (const [index, line] of lines(text)) {
    const [name = '', value = ''] = split(line, ':').map(part => part.trim())
    const plain = value.replace(/\s+#.*$/, '').replace(/^(['"])(.*)\1$/, '$2')
    switch (name) {
      case '---':
        break
      case 'root': {
        const parts = plain.split('/').filter(part => part !== '' && part !== '.')
        if (plain.startsWith('/') || parts.includes('..')) warnings.add(index, 'root must lie within the project')
        else rules.root = parts.join('/') || '.'
        break
      }
      case 'pushstate':
      case 'index_fallback':
        rules.indexFallback = on.has(plain.toLowerCase())
        break
      case 'force_https':
        warnings.add(index, 'force_https is ignored: whether https is used is decided in front of this server')
        break
      default:
        warnings.add(index, `${shown(name)} is not offered and ignored`)
    }
  }
  return { rules, warnings: warnings.all }
}

/** Number, text and whether it was indented; comments and empty lines left out. */
function* lines(text: string): Generator<[number, string, boolean]> {
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|[\r\n]/)
    .entries()) {
    const trimmed = line.trim()
    if (trimmed !== '' && !trimmed.startsWith('#')) yield [index + 1, trimmed, /^\s/.test(line)]
  }
}

/** Says why a pattern cannot be used: one `*`, placeholders that are whole parts of the path. */
function patternProblem(pattern: string): string | undefined {
  if (!pattern.startsWith('/')) return `${shown(pattern)} must begin with /`
  if (pattern.length > maxSiteRuleLength) return `a path may have ${maxSiteRuleLength} characters`
  if (/[\p{Cc}\s?#]/u.test(pattern)) return `${shown(pattern)} is not a path`
  const plain = decoded(pattern)
  if ((plain.match(/\*/g) ?? []).length > 1) return 'a path may have one * only'
  if (plain.split('/').some(part => part.startsWith(':') && !/^:[A-Za-z]\w*$/.test(part)))
    return 'a placeholder is a whole part of the path, such as /:name/'
  return undefined
}

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

/** Only characters that may stand in a URL; undefined when it cannot be written so. */
function encoded(target: string): string | undefined {
  const text = target.replace(/[^\x21-\x7e]/gu, character =>
    character.isWellFormed() ? encodeURIComponent(character) : ' ',
  )
  return text.includes(' ') ? undefined : text
}

function decoded(pattern: string): string {
  try {
    return decodeURIComponent(pattern)
  } catch {
    // A bare % stands for itself.
    return pattern
  }
}

const shown = (word: string) => JSON.stringify(word.length > 60 ? `${word.slice(0, 60)}…` : word)
