import { readFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import ignore, { type Ignore } from 'ignore'
import { lstatIfPresent } from './lstat-if-present.ts'

type Verdict = 'ignored' | 'kept' | undefined

/** The rules of one file, for paths below the directory it lies in. */
interface RuleFile {
  directory: string
  rules: Ignore
}

/** Dropped wherever they lie; no rule brings them back. */
const neverUploaded = new Set(['.git', 'node_modules'])

/** Files that hold secrets, unlike the samples that belong to the code. */
const secretFile = /^\.env(\..+)?$/
const sampleFile = /^\.env\.(example|sample|template|dist|defaults?|schema)$/

/**
 * What of a folder stays at home. `.gitignore` files count as in git, those above the folder up to the repository's
 * root included. `.coderunnerignore` files go before them and can take back (`!dist`) what git ignores; a directory
 * taken back comes whole, save for what its own `.gitignore` and the `.coderunnerignore` files drop.
 * One object holds the rules for one directory; `enter` gives those for a directory in it.
 */
export class IgnoreRules {
  readonly #git: readonly RuleFile[]
  readonly #own: readonly RuleFile[]

  private constructor(git: readonly RuleFile[], own: readonly RuleFile[]) {
    this.#git = git
    this.#own = own
  }

  /** Rules at the top of the folder that is deployed. */
  static async at(folder: string): Promise<IgnoreRules> {
    const above = await gitRulesAbove(folder)
    // A folder that is itself ignored was named on purpose (`deploy dist`): the rules that ignore it do not apply to it.
    const applicable = verdict(above, folder, true) === 'ignored' ? [] : above
    return new IgnoreRules(applicable, []).#with(folder)
  }

  /** Rules within `directory`, an absolute path directly below. `taken back` directories shed git's rules from above. */
  async enter(directory: string): Promise<IgnoreRules> {
    const takenBack = verdict(this.#own, directory, true) === 'kept'
    return new IgnoreRules(takenBack ? [] : this.#git, this.#own).#with(directory)
  }

  drops(name: string, path: string, isDirectory: boolean): boolean {
    if (neverUploaded.has(name)) return true
    const own = verdict(this.#own, path, isDirectory)
    if (own !== undefined) return own === 'ignored'
    if (!isDirectory && isSecretFile(name)) return true
    return verdict(this.#git, path, isDirectory) === 'ignored'
  }

  async #with(directory: string): Promise<IgnoreRules> {
    const [git, own] = await Promise.all([
      readRules(directory, '.gitignore'),
      readRules(directory, '.coderunnerignore'),
    ])
    return new IgnoreRules([...this.#git, ...git], [...this.#own, ...own])
  }
}

export function isSecretFile(name: string): boolean {
  return secretFile.test(name) && !sampleFile.test(name)
}

/** The deepest file with an opinion decides. */
function verdict(files: readonly RuleFile[], path: string, isDirectory: boolean): Verdict {
  for (const { directory, rules } of files.toReversed()) {
    const below = relative(directory, path).split(sep).join('/')
    const result = rules.test(isDirectory ? `${below}/` : below)
    if (result.ignored) return 'ignored'
    if (result.unignored) return 'kept'
  }
  return undefined
}

async function readRules(directory: string, name: string): Promise<RuleFile[]> {
  const path = join(directory, name)
  const entry = await lstatIfPresent(path)
  if (entry?.isFile() !== true) return []
  return [{ directory, rules: ignore().add(await readFile(path, 'utf8')) }]
}

async function gitRulesAbove(folder: string): Promise<RuleFile[]> {
  const directories: string[] = []
  for (let directory = folder; ; directory = dirname(directory)) {
    if (directory !== folder) directories.unshift(directory)
    if ((await lstatIfPresent(join(directory, '.git'))) !== undefined) break
    if (dirname(directory) === directory) return [] // Not in a repository.
  }
  const files = await Promise.all(directories.map(directory => readRules(directory, '.gitignore')))
  return files.flat()
}
