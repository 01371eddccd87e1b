/** What a Python project has installed, and which file says so: one of them, never several. */
import { AppError } from '@coderunner/contract'
import type { Findings } from './findings.ts'
import { editDistance } from './nearest-word.ts'
import { type ProjectFiles, topLevel } from './project-files.ts'
import { type LockedPackages, pdmLock, pipfileLock, poetryLock, uvLock } from './python-lock.ts'
import { parseJsonLock, parseToml, readToml, type Table, tableAt } from './python-manifest.ts'
import type { MarkerEnvironment } from './python-marker.ts'
import {
  list,
  normalName,
  parseRequirement,
  type Requirement,
  record,
  requirementsOfTable,
  string,
} from './python-requirement.ts'
import { readRequirements } from './python-requirements-file.ts'
import { sandboxPython } from './python-version.ts'

export type PythonManager = 'pip' | 'uv' | 'poetry' | 'pdm' | 'pipenv'

export interface PythonDependencies {
  manager: PythonManager
  /** The file that decides; undefined when the project needs nothing. */
  file?: string
  /** Names of what is known to be installed, normalised, with extras such as `fastapi[standard]`. */
  names: ReadonlySet<string>
  install: PythonInstall
}

/** What pip is given. */
export type PythonInstall =
  | { kind: 'nothing' }
  /** `files`: those it reads, with those they include; `contents`: what of them is different while installing. */
  | {
      kind: 'requirements'
      file: string
      files: string[]
      contents: Record<string, string>
      paths: string[]
      variables: string[]
    }
  /** Not locked: as the project asks for it. */
  | { kind: 'asked'; requirements: string[]; paths: string[] }
  | { kind: 'locked'; file: string; packages: LockedPackages; paths: string[] }

const managers = {
  'requirements.txt': 'pip',
  'uv.lock': 'uv',
  'poetry.lock': 'poetry',
  'pdm.lock': 'pdm',
  'Pipfile.lock': 'pipenv',
  Pipfile: 'pipenv',
} as const satisfies Record<string, PythonManager>
const labels = { pip: 'pip', uv: 'uv', poetry: 'Poetry', pdm: 'PDM', pipenv: 'Pipenv' } as const
const elsewhere = ['requirements/production.txt', 'requirements/prod.txt', 'requirements/base.txt']

/** Names near enough to `requirements.txt` to be a slip; undefined when there is none, or the right one too. */
export function misspeltRequirements(files: ProjectFiles): string | undefined {
  if (files.has('requirements.txt')) return undefined
  const slips = /^(?:requirements?|reqs?)(?:\.txt\.txt|\.text|\.tx|\.md)?$/i
  return topLevel(files.paths, Number.POSITIVE_INFINITY).find(
    name => !name.endsWith('/') && (slips.test(name) || editDistance(name.toLowerCase(), 'requirements.txt') <= 2),
  )
}

export async function pythonDependencies(
  files: ProjectFiles,
  pyproject: Table | undefined,
  architecture: string,
): Promise<PythonDependencies> {
  const present = Object.entries(managers).filter(([file]) => files.has(file))
  const kinds = new Set(present.map(([, manager]) => manager))
  if (kinds.size > 1) throw severalManagers(present)
  const [first] = present
  if (first !== undefined) return readers[first[1]](files, pyproject, { pythonVersion: sandboxPython, architecture })
  const other = elsewhere.find(path => files.has(path))
  if (other !== undefined) return ofRequirements(files, other)
  const misspelt = misspeltRequirements(files)
  if (pyproject === undefined && misspelt !== undefined)
    throw new AppError(
      'build_failed',
      `There is a file ${misspelt}, which nothing reads: rename it to requirements.txt, so that what it names is installed.`,
    )
  return ofPyproject(files, pyproject)
}

/** In words of the findings. */
export function noteDependencies({ manager, file, install }: PythonDependencies, findings: Findings): void {
  if (install.kind === 'nothing' || file === undefined)
    return findings.found('no dependencies', 'neither requirements.txt nor pyproject.toml names any')
  if (install.kind === 'locked')
    return findings.found(`install: what ${file} holds, by pip`, `${file} is ${labels[manager]}’s`)
  findings.found(`install: what ${file} asks for, by pip`, `${file} is there`)
  if (install.kind === 'asked')
    findings.warn(
      `${file} is not locked: versions are chosen anew whenever it changes. Commit a lock file to keep them.`,
    )
}

type Reader = (
  files: ProjectFiles,
  pyproject: Table | undefined,
  environment: MarkerEnvironment,
) => Promise<PythonDependencies>

const readers: Readonly<Record<PythonManager, Reader>> = {
  pip: files => ofRequirements(files, 'requirements.txt'),
  uv: async (files, pyproject, environment) => {
    const lock = parseToml('uv.lock', (await files.read('uv.lock')) ?? '')
    return locked('uv', 'uv.lock', uvLock(lock, environment), packagePaths(files, pyproject, 'uv'))
  },
  poetry: async (files, pyproject, environment) => {
    const lock = parseToml('poetry.lock', (await files.read('poetry.lock')) ?? '')
    const packages = poetryLock(lock, askedFor(pyproject), environment)
    return locked('poetry', 'poetry.lock', packages, packagePaths(files, pyproject, 'poetry'))
  },
  pdm: async (files, pyproject, environment) => {
    const lock = parseToml('pdm.lock', (await files.read('pdm.lock')) ?? '')
    const packages = pdmLock(lock, askedFor(pyproject), environment)
    return locked('pdm', 'pdm.lock', packages, packagePaths(files, pyproject, 'pdm'))
  },
  pipenv: async (files, _pyproject, environment) => {
    const text = await files.read('Pipfile.lock')
    if (text !== undefined)
      return locked('pipenv', 'Pipfile.lock', pipfileLock(parseJsonLock('Pipfile.lock', text), environment), [])
    const packages = Object.entries(tableAt(await readToml(files, 'Pipfile'), 'packages'))
    const requirements = packages.flatMap(([name, value]) => requirementsOfTable(name, value))
    return asked('pipenv', 'Pipfile', requirements, [])
  },
}

async function ofRequirements(files: ProjectFiles, file: string): Promise<PythonDependencies> {
  const { names, ...read } = await readRequirements(files, file)
  return { manager: 'pip', file, names, install: { kind: 'requirements', file, ...read } }
}

async function ofPyproject(files: ProjectFiles, pyproject: Table | undefined): Promise<PythonDependencies> {
  const dynamic = list(tableAt(pyproject, 'project')['dynamic']).includes('dependencies')
  // What a setup.py or a plugin of the build works out is known to the build only.
  const whole = (pyproject === undefined && files.has('setup.py')) || dynamic
  const requirements = askedFor(pyproject)
  const paths = whole ? ['.'] : packagePaths(files, pyproject, 'pip')
  if (requirements.length === 0 && paths.length === 0)
    return { manager: 'pip', names: new Set(), install: { kind: 'nothing' } }
  return asked('pip', pyproject === undefined ? 'setup.py' : 'pyproject.toml', requirements, paths)
}

/** What the project itself asks for: `[project]`, or Poetry's table. */
function askedFor(pyproject: Table | undefined): Requirement[] {
  const standard = list(tableAt(pyproject, 'project')['dependencies']).flatMap(line => parseRequirement(line) ?? [])
  const poetry = Object.entries(tableAt(pyproject, 'tool', 'poetry', 'dependencies'))
    .filter(([name]) => name !== 'python')
    .flatMap(([name, value]) => requirementsOfTable(name, value))
  const known = new Set(standard.map(({ name }) => name))
  return [...standard, ...poetry.filter(({ name }) => !known.has(name))]
}

/** The project itself, where it is a package that its manager would install too. */
function packagePaths(files: ProjectFiles, pyproject: Table | undefined, manager: PythonManager): string[] {
  const builds = pyproject?.['build-system'] !== undefined
  const poetry = tableAt(pyproject, 'tool', 'poetry')
  if (manager === 'poetry' || Object.keys(poetry).length > 0)
    // A package to Poetry by default; without its folder Poetry itself only warns.
    return builds && poetry['package-mode'] !== false && hasPackage(files, pyproject) ? ['.'] : []
  const declared =
    record(tableAt(pyproject, 'tool')['uv'])['package'] ?? tableAt(pyproject, 'tool', 'pdm')['distribution']
  if (declared === false) return []
  if (builds || declared === true) return ['.']
  return []
}

function hasPackage(files: ProjectFiles, pyproject: Table | undefined): boolean {
  const name =
    string(tableAt(pyproject, 'project')['name']) ?? string(tableAt(pyproject, 'tool', 'poetry')['name']) ?? ''
  const folder = normalName(name).replaceAll('-', '_')
  const declared = tableAt(pyproject, 'tool', 'poetry')['packages'] !== undefined
  return (
    declared ||
    files.paths.some(
      path => path.startsWith(`${folder}/`) || path.startsWith(`src/${folder}/`) || path === `${folder}.py`,
    )
  )
}

function locked(manager: PythonManager, file: string, packages: LockedPackages, own: string[]): PythonDependencies {
  const names = [...packages.hashed, ...packages.unhashed].map(line => /^[A-Za-z0-9._-]+/.exec(line)?.[0] ?? '')
  const paths = [...new Set([...packages.paths, ...own])]
  return { manager, file, names: new Set(names.map(normalName)), install: { kind: 'locked', file, packages, paths } }
}

function asked(
  manager: PythonManager,
  file: string,
  requirements: readonly Requirement[],
  own: string[],
): PythonDependencies {
  const lines = requirements.filter(({ path }) => path === undefined)
  return {
    manager,
    file,
    names: namesOf(requirements),
    install: {
      kind: 'asked',
      requirements: lines.map(({ text, marker }) => (marker === undefined ? text : `${text} ; ${marker}`)),
      paths: [...requirements.flatMap(({ path }) => path ?? []), ...own],
    },
  }
}

export function namesOf(requirements: readonly Requirement[]): Set<string> {
  return new Set(requirements.flatMap(({ name, extras }) => [name, ...extras.map(extra => `${name}[${extra}]`)]))
}

function severalManagers(present: readonly (readonly [string, PythonManager])[]): AppError {
  const found = present.map(([file, manager]) => `${file} (${labels[manager]})`).join(' and ')
  return new AppError(
    'build_failed',
    `There are ${found}: only one of them may say what is installed. Remove what is not used, or leave it out with .coderunnerignore.`,
  )
}
