/** From what a project says of Node to one published version. */
import { AppError } from '@coderunner/contract'
import semver from 'semver'
import type { PackageVersions } from './package-versions.ts'

export interface NodeVersionsOptions {
  packages: PackageVersions
  /** Versions that sandboxes get without a download; enough when the registry is away. */
  present: readonly string[]
  architecture?: NodeJS.Architecture
  /** For tests: long-term support is a matter of time. */
  now?: () => Date
}

/** First long-term versions by major; the later ones follow their calendar. */
const codenames: Readonly<Record<string, number>> = {
  argon: 4,
  boron: 6,
  carbon: 8,
  dubnium: 10,
  erbium: 12,
  fermium: 14,
  gallium: 16,
  hydrogen: 18,
  iron: 20,
  jod: 22,
  krypton: 24,
}
const newestWords = new Set(['current', 'latest', 'node'])
const longTermWords = new Set(['lts', 'lts/*', 'stable'])

export class NodeVersions {
  readonly #options: NodeVersionsOptions

  constructor(options: NodeVersionsOptions) {
    this.#options = options
  }

  /**
   * The newest published version that satisfies a range (`20.x`, `>=18 <21`, `v20`) or an alias (`lts/*`, `lts/iron`,
   * `node`); of several major versions the newest with long-term support. Undefined when there is none, or it is no range.
   * @throws AppError `unavailable` when the registry is away, was never there, and nothing present satisfies
   */
  async resolve(range: string): Promise<string | undefined> {
    const word = range.trim().toLowerCase()
    let known: readonly string[]
    try {
      known = await this.#published()
    } catch (error) {
      const found = this.#choose(word, this.#options.present)
      if (found === undefined && error instanceof AppError) throw error
      return found
    }
    return this.#choose(word, known)
  }

  async #published(): Promise<readonly string[]> {
    const { packages, architecture = process.arch } = this.#options
    return (await packages.published(`node-linux-${architecture}`)).versions
  }

  #choose(word: string, versions: readonly string[]): string | undefined {
    if (newestWords.has(word)) return newest(versions)
    const longTerm = versions.filter(version => this.#isLongTerm(semver.major(version)))
    if (longTermWords.has(word)) return newest(longTerm)
    const major = codenames[word.replace(/^lts\//, '')]
    const wanted = semver.validRange(major === undefined ? word.replace(/^node[-@]?(?=v?\d)/, '') : String(major))
    if (wanted === null) return undefined
    const satisfying = (from: readonly string[]) => from.filter(version => semver.satisfies(version, wanted))
    return newest(satisfying(longTerm)) ?? newest(satisfying(versions))
  }

  /** Even majors, from the October after their release: 24 came in 2025. */
  #isLongTerm(major: number): boolean {
    if (major < 4 || major % 2 !== 0) return false
    const now = this.#options.now?.() ?? new Date()
    return now >= new Date(Date.UTC(2013 + major / 2, 9, 28))
  }
}

const newest = (versions: readonly string[]): string | undefined => [...versions].sort(semver.rcompare)[0]
