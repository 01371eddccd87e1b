/** One package of a lock file, in the words of uv, Poetry or PDM, brought to one form. Pure. */
import type { Table } from './python-manifest.ts'
import {
  gitUrl,
  list,
  normalName,
  parseRequirement,
  type Requirement,
  record,
  records,
  requirementsOfTable,
  string,
} from './python-requirement.ts'

export interface LockedPackage {
  name: string
  version: string
  marker?: string | undefined
  python?: string | undefined
  /** `name==version` or `name @ url`. */
  text: string
  hashes: string[]
  path?: string | undefined
  index?: string | undefined
  dependencies: LockedDependency[]
  extras: Readonly<Record<string, LockedDependency[]>>
}

export interface LockedDependency {
  name: string
  version?: string | undefined
  marker?: string | undefined
  extras: string[]
}

export function uvPackage(item: Table): LockedPackage {
  const name = normalName(string(item['name']) ?? '')
  const version = string(item['version']) ?? ''
  const source = record(item['source'])
  const path = string(source['virtual']) ?? string(source['editable']) ?? string(source['directory'])
  const git = string(source['git'])
  const url = string(source['url'])
  const wheels = records(item['wheels'])
  const sdist = record(item['sdist'])
  const hashes = [sdist, ...wheels].map(file => string(file['hash'])).filter(hash => hash !== undefined)
  const dependencies = (value: unknown) =>
    records(value).map(dependency => ({
      name: normalName(string(dependency['name']) ?? ''),
      version: string(dependency['version']),
      marker: string(dependency['marker']),
      extras: list(dependency['extra']).map(normalName),
    }))
  const extras = Object.entries(record(item['optional-dependencies']))
  return {
    name,
    version,
    text:
      git !== undefined ? `${name} @ ${uvGit(git)}` : url !== undefined ? `${name} @ ${url}` : `${name}==${version}`,
    hashes: git === undefined ? hashes : [],
    path,
    index: string(source['registry']),
    dependencies: dependencies(item['dependencies']),
    extras: Object.fromEntries(extras.map(([extra, value]) => [normalName(extra), dependencies(value)])),
  }
}

/** `https://host/repository?rev=main&subdirectory=x#commit` */
function uvGit(text: string): string {
  if (!URL.canParse(text)) return gitUrl(text, undefined)
  const url = new URL(text)
  const commit = url.hash.slice(1)
  const subdirectory = url.searchParams.get('subdirectory') ?? undefined
  url.hash = ''
  url.search = ''
  return gitUrl(url.href, commit === '' ? undefined : commit, subdirectory)
}

export function poetryPackage(item: Table, legacyFiles: Table): LockedPackage {
  const name = string(item['name']) ?? ''
  const version = string(item['version']) ?? ''
  const source = record(item['source'])
  const type = string(source['type'])
  const url = string(source['url']) ?? ''
  const files = item['files'] ?? legacyFiles[name]
  const markers = item['markers']
  const text =
    type === 'git'
      ? `${name} @ ${gitUrl(url, string(source['resolved_reference']), string(source['subdirectory']))}`
      : type === 'url'
        ? `${name} @ ${url}`
        : `${name}==${version}`
  const dependencies = Object.entries(record(item['dependencies'])).flatMap(([dependency, value]) =>
    // Optional ones are those of an extra: taken up below.
    requirementsOfTable(dependency, value).map(found => ({
      ...dependencyOf(found),
      version: string(value) ?? string(record(value)['version']),
    })),
  )
  const extras = Object.entries(record(item['extras'])).map(([extra, value]) => [
    normalName(extra),
    list(value).flatMap(line => {
      const found = parseRequirement(line.replace(/\s*\(.*\)/, ''))
      return found === undefined ? [] : [dependencyOf(found)]
    }),
  ])
  return {
    name: normalName(name),
    version,
    marker: typeof markers === 'string' ? markers : string(record(markers)['main']),
    python: string(item['python-versions']),
    text,
    hashes: type === 'git' ? [] : hashesOf(files),
    path: type === 'directory' || type === 'file' ? url : undefined,
    index: type === 'legacy' ? url : undefined,
    dependencies,
    extras: Object.fromEntries(extras) as LockedPackage['extras'],
  }
}

export function pdmPackage(item: Table): LockedPackage {
  const name = string(item['name']) ?? ''
  const version = string(item['version']) ?? ''
  const git = string(item['git'])
  const url = string(item['url'])
  return {
    name: normalName(name),
    version,
    marker: string(item['marker']),
    python: string(item['requires_python']),
    text:
      git !== undefined
        ? `${name} @ ${gitUrl(git, string(item['revision']), string(item['subdirectory']))}`
        : url !== undefined
          ? `${name} @ ${url}`
          : `${name}==${version}`,
    hashes: git === undefined ? hashesOf(item['files']) : [],
    path: string(item['path']),
    dependencies: list(item['dependencies']).flatMap(line => {
      const found = parseRequirement(line)
      return found === undefined ? [] : [dependencyOf(found)]
    }),
    extras: {},
  }
}

function hashesOf(files: unknown): string[] {
  return records(files)
    .map(file => string(file['hash']))
    .filter(hash => hash !== undefined)
}

export function dependencyOf({ name, extras, marker }: Requirement): LockedDependency {
  return { name, extras, marker }
}
