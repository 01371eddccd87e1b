/** The commands that install what a Python project asks for, as people read them and as they are run. Pure. */
import { plainWords } from './command-line.ts'
import type { PythonInstall } from './python-dependencies.ts'

/** Where the packages lie, below the application directory, in a layer of their own. */
export const virtualEnvironment = '.venv'

/** Every project has an environment: it is where `python` comes from, too. */
const create = ['python3', '-m', 'venv', '--without-pip', virtualEnvironment]

/** What fills the dependency layer: argument lists, run one after the other. */
export function installCommands(install: PythonInstall): string[][] {
  return [create, ...pipCommands(install)]
}

/** The same in one line, as short as people would write it. */
export function installLabel(install: PythonInstall): string {
  const commands = pipCommands(install).map(argv => argv.map(quoted).join(' '))
  return commands.length === 0 ? create.join(' ') : commands.join(' && ')
}

function pipCommands(install: PythonInstall): string[][] {
  if (install.kind === 'requirements') return [['pip', 'install', '-r', install.file]]
  if (install.kind === 'asked')
    return install.requirements.length === 0 ? [] : [['pip', 'install', ...install.requirements]]
  if (install.kind === 'nothing') return []
  const { hashed, unhashed } = install.packages
  return [
    ...(hashed.length === 0 ? [] : [['pip', 'install', '--no-deps', '--require-hashes', '-r', install.file]]),
    ...(unhashed.length === 0 ? [] : [['pip', 'install', '--no-deps', ...unhashed]]),
  ]
}

/** Folders of the project that are packages themselves: installed over the source, where their files stay. */
export function pathsCommand(install: PythonInstall): string[] | undefined {
  if (install.kind === 'nothing' || install.paths.length === 0) return undefined
  // What a lock names is there already, and nothing else may be.
  const options = install.kind === 'locked' ? ['--no-deps'] : []
  return ['pip', 'install', ...options, ...install.paths.flatMap(path => ['-e', asPath(path)])]
}

export function pathsLabel(install: PythonInstall): string | undefined {
  return pathsCommand(install)?.map(quoted).join(' ')
}

/** What stands in the place of the lock file while it is installed: a list that pip reads. */
export function lockedList({ hashed, indexes }: { hashed: readonly string[]; indexes: readonly string[] }): string {
  const [first, ...more] = indexes
  const options = [
    ...(first === undefined ? [] : [`--index-url ${first}`]),
    ...more.map(index => `--extra-index-url ${index}`),
  ]
  return `${[...options, ...hashed].join('\n')}\n`
}

/** Without a slash pip would look for a package of that name. */
function asPath(path: string): string {
  return /^\.{1,2}(?:\/|\[|$)|^\//.test(path) ? path : `./${path}`
}

function quoted(word: string): string {
  return plainWords(word)?.length === 1 && !/['"]/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
