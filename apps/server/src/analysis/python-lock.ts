/**
 * Turns the lock files of uv, Poetry, PDM and Pipenv into a list that pip installs exactly, with the hashes they hold.
 * Which packages this machine needs is worked out here: from what the project asks for, along the dependencies whose
 * markers hold on a sandbox. Development groups are left out. Pure.
 */

import {
  dependencyOf,
  type LockedDependency,
  type LockedPackage,
  pdmPackage,
  poetryPackage,
  uvPackage,
} from './python-locked-package.ts'
import type { Table } from './python-manifest.ts'
import { tableAt } from './python-manifest.ts'
import { type MarkerEnvironment, markerHolds } from './python-marker.ts'
import { list, type Requirement, record, records, requirementsOfTable, string } from './python-requirement.ts'
import { compareVersions, satisfies } from './python-specifier.ts'

export interface LockedPackages {
  /** Lines for `pip install --no-deps --require-hashes`. */
  hashed: string[]
  /** Lines for `pip install --no-deps`: the lock has no hashes of these. */
  unhashed: string[]
  /** Folders of the project's own that are installed from the source. */
  paths: string[]
  /** Indexes other than PyPI that the lock names. */
  indexes: string[]
}

const validHash = /^(?:sha256|sha384|sha512):[0-9a-f]+$/
const validName = /^[a-z0-9][a-z0-9-]*$/

export function uvLock(lock: Table, environment: MarkerEnvironment): LockedPackages {
  const packages = records(lock['package']).map(uvPackage)
  const root = packages.find(({ path }) => path === '.')
  const found = reachable(packages, root === undefined ? [] : [{ name: root.name, extras: [] }], environment)
  return written(found.filter(item => item !== root))
}

export function poetryLock(lock: Table, asked: readonly Requirement[], environment: MarkerEnvironment): LockedPackages {
  const files = tableAt(lock, 'metadata', 'files')
  const packages = records(lock['package']).map(item => poetryPackage(item, files))
  return written(reachable(packages, asked.filter(({ path }) => path === undefined).map(dependencyOf), environment))
}

export function pdmLock(lock: Table, asked: readonly Requirement[], environment: MarkerEnvironment): LockedPackages {
  const all = records(lock['package'])
  const packages = all.map(pdmPackage)
  if (!all.some(item => Array.isArray(item['groups'])))
    return written(reachable(packages, asked.map(dependencyOf), environment))
  const chosen = packages.filter(
    (item, index) => list(all[index]?.['groups']).includes('default') && fits(item, environment),
  )
  return written([...new Map(chosen.map(item => [item.text, item])).values()])
}

export function pipfileLock(lock: Table, environment: MarkerEnvironment): LockedPackages {
  const sources = new Map(
    records(tableAt(lock, '_meta')['sources']).map(source => [string(source['name']), string(source['url'])]),
  )
  const packages = Object.entries(record(lock['default'])).flatMap(([name, value]): LockedPackage[] => {
    const [asked] = requirementsOfTable(name, value)
    if (asked === undefined) return []
    return [
      {
        name: asked.name,
        version: string(record(value)['version'])?.replace(/^==/, '') ?? '',
        marker: asked.marker,
        text: asked.text,
        hashes: list(record(value)['hashes']),
        path: asked.path,
        index: sources.get(string(record(value)['index'])),
        dependencies: [],
        extras: {},
      },
    ]
  })
  return written(packages.filter(item => fits(item, environment)))
}

/** Packages in the order they are come upon, each once, with the dependencies of the extras that were asked for. */
function reachable(
  packages: readonly LockedPackage[],
  roots: readonly LockedDependency[],
  environment: MarkerEnvironment,
): LockedPackage[] {
  const found = new Map<LockedPackage, Set<string>>()
  const byName = Map.groupBy(packages, item => item.name)
  const queue = roots.filter(({ marker }) => markerHolds(marker, environment))
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const item = choose(byName.get(next.name) ?? [], next, environment)
    if (item === undefined) continue
    const known = found.get(item)
    const extras = known ?? new Set<string>()
    found.set(item, extras)
    const more = next.extras.filter(extra => !extras.has(extra))
    for (const extra of more) extras.add(extra)
    const dependencies = [
      ...(known === undefined ? item.dependencies : []),
      ...more.flatMap(extra => item.extras[extra] ?? []),
    ]
    const marked = { ...environment, extras: [...extras] }
    queue.push(...dependencies.filter(({ marker }) => markerHolds(marker, marked)))
  }
  return [...found.keys()]
}

/** A lock may hold several versions of a package, for different machines. */
function choose(
  candidates: readonly LockedPackage[],
  { version }: LockedDependency,
  environment: MarkerEnvironment,
): LockedPackage | undefined {
  const fitting = candidates.filter(item => fits(item, environment))
  const wanted = fitting.filter(item => version === undefined || satisfies(item.version, version) !== false)
  return (wanted.length > 0 ? wanted : fitting).toSorted((a, b) => compareVersions(b.version, a.version) ?? 0)[0]
}

function fits({ marker, python }: LockedPackage, environment: MarkerEnvironment): boolean {
  if (!markerHolds(marker, environment)) return false
  return python === undefined || satisfies(environment.pythonVersion, python) !== false
}

function written(packages: readonly LockedPackage[]): LockedPackages {
  const result: LockedPackages = { hashed: [], unhashed: [], paths: [], indexes: [] }
  for (const { name, path, text, hashes, index } of packages) {
    if (path !== undefined) {
      result.paths.push(path)
      continue
    }
    // A line break would begin another line of the list.
    if (!validName.test(name) || /[\r\n]/.test(text)) continue
    const valid = hashes.filter(hash => validHash.test(hash)).map(hash => `--hash=${hash}`)
    if (valid.length > 0) result.hashed.push([text, ...new Set(valid)].join(' '))
    else result.unhashed.push(text)
    const url = index?.replace(/\/+$/, '')
    if (url !== undefined && isIndex(url) && !result.indexes.includes(url)) result.indexes.push(url)
  }
  return result
}

function isIndex(url: string): boolean {
  return /^https?:\/\/\S+$/.test(url) && !/^https?:\/\/(?:pypi\.org|pypi\.python\.org)\//.test(url)
}
