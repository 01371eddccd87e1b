/** Which package manager installs a project, and in which version: `packageManager` > lock file > `engines` > npm. */
import { AppError } from '@coderunner/contract'
import semver from 'semver'
import type { Findings } from './findings.ts'
import { type LockFile, lockedVersion, lockFiles, managerRange } from './lock-file.ts'
import type { PackageJson } from './package-json.ts'
import type { ProjectFiles } from './project-files.ts'
import type { PackageManagerName, SoftwareVersions } from './software-versions.ts'

export interface PackageManager {
  name: PackageManagerName
  /** Exact; undefined for npm, which comes with Node. */
  version: string | undefined
  /** The lock file it reads. */
  lock: LockFile | undefined
}

/** Where neither field nor lock file says a version. */
const usualRange = { pnpm: '^10.0.0', yarn: '^1.22.0', bun: '^1.0.0' } as const
const names = ['pnpm', 'bun', 'yarn', 'npm'] as const satisfies readonly PackageManagerName[]

export async function choosePackageManager(
  files: ProjectFiles,
  json: PackageJson,
  versions: SoftwareVersions,
  findings: Findings,
): Promise<PackageManager> {
  const locks = (Object.keys(lockFiles) as LockFile[]).filter(path => files.has(path))
  const field = packageManagerField(json.packageManager, findings)
  const { name, why } = await choose(files, json, field?.name, locks)
  const lock = locks.find(path => lockFiles[path] === name)
  findings.found(name, why)
  warnOfOthers(name, lock, locks, findings)
  if (name === 'npm') return { name, version: undefined, lock }
  const version = await exactVersion(
    files,
    json,
    { name, lock, field: field?.name === name ? field.version : undefined },
    versions,
  )
  return { name, version, lock }
}

async function choose(
  files: ProjectFiles,
  json: PackageJson,
  field: PackageManagerName | undefined,
  locks: readonly LockFile[],
): Promise<{ name: PackageManagerName; why: string }> {
  if (field !== undefined) return { name: field, why: 'packageManager of package.json names it' }
  const managers = [...new Set(locks.map(lock => lockFiles[lock]))]
  if (managers.length > 1) {
    const wanted = names.find(name => json.engines[name] !== undefined && managers.includes(name))
    if (wanted !== undefined) return { name: wanted, why: `engines.${wanted} of package.json names it` }
    await refuseContradiction(files, json, locks)
  }
  const [lock] = locks
  // A setting that only the later Yarn reads; it comes before a lock file, which may not be there yet.
  if (lock === undefined && files.has('.yarnrc.yml')) return { name: 'yarn', why: '.yarnrc.yml is there' }
  if (lock !== undefined) return { name: lockFiles[lock], why: `${lock} is there` }
  const engine = names.find(name => json.engines[name] !== undefined)
  if (engine !== undefined && engine !== 'npm')
    return { name: engine, why: `engines.${engine} of package.json names it` }
  if (files.has('pnpm-workspace.yaml')) return { name: 'pnpm', why: 'pnpm-workspace.yaml is there' }
  if (files.has('bunfig.toml') || /^bunx? /.test(json.scripts['start'] ?? ''))
    return { name: 'bun', why: 'the start script or bunfig.toml asks for it' }
  return { name: 'npm', why: 'nothing asks for another package manager' }
}

/** Two lock files that lock different versions: nobody can know which was meant. */
async function refuseContradiction(files: ProjectFiles, json: PackageJson, locks: readonly LockFile[]): Promise<void> {
  const [one, ...others] = await Promise.all(
    locks.map(async lock => ({ lock, text: lock === 'bun.lockb' ? '' : ((await files.read(lock)) ?? '') })),
  )
  if (one === undefined) return
  for (const name of Object.keys({ ...json.dependencies, ...json.devDependencies }))
    for (const other of others) {
      if (lockFiles[other.lock] === lockFiles[one.lock]) continue
      const [first, second] = [lockedVersion(one.lock, one.text, name), lockedVersion(other.lock, other.text, name)]
      if (first === undefined || second === undefined || first === second) continue
      throw new AppError(
        'build_failed',
        `Two lock files contradict each other: ${one.lock} has ${name} ${first} and ${other.lock} has ${name} ${second}. ` +
          `Remove the one that is not used, or name the package manager in package.json ("packageManager": "${lockFiles[one.lock]}@…").`,
      )
    }
}

function warnOfOthers(
  name: PackageManagerName,
  lock: LockFile | undefined,
  locks: readonly LockFile[],
  findings: Findings,
): void {
  const others = locks.filter(path => lockFiles[path] !== name)
  if (others.length === 0) return
  const used = lock === undefined ? `${name} installs, for which there is no lock file` : `${lock} is used`
  findings.warn(`${others.join(' and ')} ${others.length > 1 ? 'are' : 'is'} not read: ${used}.`)
}

/** `pnpm@9.1.0+sha512.…` of the field that Corepack reads. */
function packageManagerField(
  field: string | undefined,
  findings: Findings,
): { name: PackageManagerName; version: string | undefined } | undefined {
  if (field === undefined) return undefined
  const [, word = '', text = ''] = /^\s*([^@\s]+)(?:@([^+\s]*))?/.exec(field) ?? []
  const name = names.find(known => known === word)
  if (name === undefined) {
    findings.warn(`“${field}” (packageManager of package.json) is not known here: npm, pnpm, yarn and bun are.`)
    return undefined
  }
  const version = semver.valid(text) ?? undefined
  if (version === undefined && semver.validRange(text) === null)
    findings.warn(`“${field}” (packageManager of package.json) has no version such as ${name}@${example[name]}.`)
  return { name, version: version ?? (semver.validRange(text) === null || text === '' ? undefined : text) }
}

const example = { npm: '11.6.0', pnpm: '10.20.0', yarn: '4.10.3', bun: '1.3.0' } as const

async function exactVersion(
  files: ProjectFiles,
  json: PackageJson,
  { name, lock, field }: { name: 'pnpm' | 'yarn' | 'bun'; lock: LockFile | undefined; field: string | undefined },
  versions: SoftwareVersions,
): Promise<string> {
  const engine = json.engines[name]
  const inTree = name === 'yarn' ? await yarnOfTree(files) : undefined
  const text = lock === undefined || lock === 'bun.lockb' ? '' : ((await files.read(lock)) ?? '')
  const locked = lock === undefined ? undefined : managerRange(lock, text)
  const asked = field ?? inTree
  if (asked !== undefined && semver.valid(asked) !== null) return asked
  if (engine !== undefined && semver.validRange(engine) === null)
    throw new AppError(
      'build_failed',
      `“${engine}” (engines.${name} of package.json) is not a version range of ${name}.`,
    )
  const usual = name === 'yarn' && files.has('.yarnrc.yml') ? '^4.0.0' : usualRange[name]
  const range =
    asked ?? (engine !== undefined && locked !== undefined ? `${engine} ${locked}` : (engine ?? locked ?? usual))
  // An engine that the lock file's format does not fit wins: it is what people wrote down.
  const version = (await tried(versions, name, range)) ?? (await tried(versions, name, engine ?? usual))
  if (version === undefined)
    throw new AppError('build_failed', `There is no version of ${name} that fits “${engine ?? range}”.`)
  return version
}

async function tried(versions: SoftwareVersions, name: 'pnpm' | 'yarn' | 'bun', range: string) {
  return semver.validRange(range) === null ? undefined : versions.packageManager(name, range)
}

/** `yarnPath: .yarn/releases/yarn-4.1.0.cjs`: the version in the name. */
async function yarnOfTree(files: ProjectFiles): Promise<string | undefined> {
  const settings = await files.read('.yarnrc.yml')
  return /^yarnPath:\s*['"]?\S*yarn-(\d+\.\d+\.\d+[^\s'"]*)\.c?js/m.exec(settings ?? '')?.[1]
}
