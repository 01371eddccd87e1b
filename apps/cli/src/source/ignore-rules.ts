import { readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
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

  /** Rules at the top of the folder that is deployed. `names`: of the files directly in it. */
  static async at(folder: string, names: ReadonlySet<string>): Promise<IgnoreRules> {
    const above = await gitRulesAbove(folder)
    // A folder that is itself ignored was named on purpose (`deploy dist`): the rules that ignore it do not apply to it.
    const applicable = verdict(above, folder, true) === 'ignored' ? [] : above
    return new IgnoreRules(applicable, []).#with(folder, names)
  }

  /** Rules within `directory`, an absolute path directly below. `taken back` directories shed git's rules from above. */
  enter(directory: string, names: ReadonlySet<string>): IgnoreRules {
    const takenBack = verdict(this.#own, directory, true) === 'kept'
    if (!takenBack && !names.has('.gitignore') && !names.has('.coderunnerignore')) return this
    return new IgnoreRules(takenBack ? [] : this.#git, this.#own).#with(directory, names)
  }

  drops(name: string, path: string, isDirectory: boolean): boolean {
    if (neverUploaded.has(name)) return true
    const own = verdict(this.#own, path, isDirectory)
    if (own !== undefined) return own === 'ignored'
    if (!isDirectory && isSecretFile(name)) return true
    return verdict(this.#git, path, isDirectory) === 'ignored'
  }

  #with(directory: string, names: ReadonlySet<string>): IgnoreRules {
    const rulesOf = (name: string) => (names.has(name) ? readRules(directory, name) : [])
    return new IgnoreRules([...this.#git, ...rulesOf('.gitignore')], [...this.#own, ...rulesOf('.coderunnerignore')])
  }
}

export function isSecretFile(name: string): boolean {
  return secretFile.test(name) && !sampleFile.test(name)
}

/** The deepest file with an opinion decides. */
function verdict(files: readonly RuleFile[], path: string, isDirectory: boolean): Verdict {
  for (let at = files.length - 1; at >= 0; at--) {
    const { directory, rules } = files[at] as RuleFile
    const below = path.slice(directory.endsWith(sep) ? directory.length : directory.length + 1)
    const posix = sep === '/' ? below : below.split(sep).join('/')
    const result = rules.test(isDirectory ? `${posix}/` : posix)
    if (result.ignored) return 'ignored'
    if (result.unignored) return 'kept'
  }
  return undefined
}

function readRules(directory: string, name: string): RuleFile[] {
  return [{ directory, rules: ignore().add(readFileSync(join(directory, name), 'utf8')) }]
}

async function gitRulesAbove(folder: string): Promise<RuleFile[]> {
  const directories: string[] = []
  for (let directory = folder; ; directory = dirname(directory)) {
    if (directory !== folder) directories.unshift(directory)
    if ((await lstatIfPresent(join(directory, '.git'))) !== undefined) break
    if (dirname(directory) === directory) return [] // Not in a repository.
  }
  const files: RuleFile[] = []
  for (const directory of directories)
    if ((await lstatIfPresent(join(directory, '.gitignore')))?.isFile() === true)
      files.push(...readRules(directory, '.gitignore'))
  return files
}
