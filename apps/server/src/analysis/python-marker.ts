/** Environment markers of PEP 508, such as `python_version < "3.11" and sys_platform == "win32"`. Pure. */
import { compareVersions, satisfies } from './python-specifier.ts'

export interface MarkerEnvironment {
  /** All of it, such as 3.11.2. */
  pythonVersion: string
  /** As Node names it. */
  architecture: string
  extras?: readonly string[]
}

type Values = Readonly<Record<string, string>>

const versions = new Set(['python_version', 'python_full_version', 'implementation_version', 'platform_release'])
const token = /\s*(\(|\)|'[^']*'|"[^"]*"|not\s+in\b|in\b|and\b|or\b|===|==|~=|!=|<=|>=|<|>|[A-Za-z_][\w.]*)/y
const maxLength = 10_000
const maxDepth = 50

/** Whether a marker holds on a sandbox; one that does not parse counts as holding, since pip judges it again. */
export function markerHolds(marker: string | undefined, environment: MarkerEnvironment): boolean {
  if (marker === undefined || marker.trim() === '') return true
  try {
    return new MarkerParser(tokensOf(marker), environment).parse()
  } catch (error) {
    if (error instanceof MarkerError) return true
    throw error
  }
}

class MarkerError extends Error {}

function tokensOf(marker: string): string[] {
  if (marker.length > maxLength) throw new MarkerError()
  const tokens: string[] = []
  let end = 0
  token.lastIndex = 0
  for (let match = token.exec(marker); match !== null; match = token.exec(marker)) {
    tokens.push((match[1] as string).replace(/^not\s+in$/, 'not in'))
    end = token.lastIndex
  }
  if (marker.slice(end).trim() !== '') throw new MarkerError()
  return tokens
}

class MarkerParser {
  readonly #tokens: readonly string[]
  readonly #values: Values
  readonly #extras: readonly string[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly string[], environment: MarkerEnvironment) {
    this.#tokens = tokens
    this.#values = valuesOf(environment)
    this.#extras = environment.extras ?? []
  }

  parse(): boolean {
    const result = this.#any()
    if (this.#at < this.#tokens.length) throw new MarkerError()
    return result
  }

  #any(): boolean {
    let result = this.#all()
    while (this.#take('or')) result = this.#all() || result
    return result
  }

  #all(): boolean {
    let result = this.#one()
    while (this.#take('and')) result = this.#one() && result
    return result
  }

  #one(): boolean {
    if (!this.#take('(')) return this.#comparison()
    if (++this.#depth > maxDepth) throw new MarkerError()
    const result = this.#any()
    if (!this.#take(')')) throw new MarkerError()
    this.#depth--
    return result
  }

  #comparison(): boolean {
    const [left = '', operator = '', right = ''] = this.#tokens.slice(this.#at, this.#at + 3)
    this.#at += 3
    const [a, b] = [this.#value(left), this.#value(right)]
    if (left === 'extra' || right === 'extra') {
      const has = this.#extras.includes(left === 'extra' ? b : a)
      return operator === '!=' ? !has : has
    }
    if (operator === 'in') return b.split(/[\s,|]+/).includes(a) || b.includes(a)
    if (operator === 'not in') return !b.includes(a)
    if (versions.has(left) && compareVersions(a, '0') !== undefined) {
      const result = satisfies(a, operator + b)
      if (result !== undefined) return result
    }
    if (versions.has(right) && compareVersions(a, b) !== undefined) {
      const order = compareVersions(a, b) ?? 0
      return byOrder(operator, order)
    }
    return byOrder(operator, a < b ? -1 : a > b ? 1 : 0)
  }

  #value(text: string): string {
    if (/^['"]/.test(text)) return text.slice(1, -1)
    if (text === 'extra') return ''
    const value = this.#values[text]
    if (value === undefined) throw new MarkerError()
    return value
  }

  #take(expected: string): boolean {
    if (this.#tokens[this.#at] !== expected) return false
    this.#at++
    return true
  }
}

function byOrder(operator: string, order: number): boolean {
  switch (operator) {
    case '==':
    case '===':
      return order === 0
    case '!=':
      return order !== 0
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
    default:
      throw new MarkerError()
  }
}

function valuesOf({ pythonVersion, architecture }: MarkerEnvironment): Values {
  const minor = pythonVersion.split('.').slice(0, 2).join('.')
  return {
    os_name: 'posix',
    sys_platform: 'linux',
    platform_system: 'Linux',
    platform_machine: machines[architecture] ?? architecture,
    platform_python_implementation: 'CPython',
    implementation_name: 'cpython',
    implementation_version: pythonVersion,
    platform_release: '',
    platform_version: '',
    python_version: minor,
    python_full_version: pythonVersion,
  }
}

const machines: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64', ia32: 'i686', arm: 'armv7l' }
