/** What a project asks for: requirements of PEP 508, and the tables that Poetry and Pipenv write instead. Pure. */
import { toPep440 } from './python-specifier.ts'

export interface Requirement {
  /** Normalised: lower case, `-` between the parts. */
  name: string
  extras: string[]
  marker?: string
  /** As pip takes it, without the marker. */
  text: string
  /** A folder of the project's own. */
  path?: string
}

export function normalName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-')
}

const pattern = /^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*([^;]*?)\s*(?:;\s*(.*))?$/s

/** Undefined for what is no named requirement: an option, a path, a bare URL. */
export function parseRequirement(line: string): Requirement | undefined {
  const url = /^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*(@\s*\S+)(?:\s+;\s*(.*))?$/s.exec(line.trim())
  const match = url ?? pattern.exec(line.trim())
  if (match?.[1] === undefined) return undefined
  const [, name, extras = '', rest = '', marker] = match
  if (rest !== '' && !/^[(<>=!~@]/.test(rest)) return undefined
  const list = extras
    .split(',')
    .map(extra => extra.trim())
    .filter(Boolean)
  const bracketed = list.length === 0 ? '' : `[${list.join(',')}]`
  return {
    name: normalName(name),
    extras: list.map(normalName),
    ...(marker === undefined ? {} : { marker }),
    text: `${name}${bracketed}${rest.startsWith('@') ? ' ' : ''}${rest}`,
  }
}

/** An entry of `[tool.poetry.dependencies]` or of a Pipfile's `[packages]`. Several where the value is a list. */
export function requirementsOfTable(name: string, value: unknown): Requirement[] {
  if (Array.isArray(value)) return value.flatMap((item: unknown) => requirementsOfTable(name, item))
  if (typeof value === 'string') return [named(name, [], value, undefined)]
  const table = record(value)
  if (table['optional'] === true) return []
  const extras = list(table['extras'])
  const marker = markerOf(table)
  const path = string(table['path'])
  if (path !== undefined) return [{ name: normalName(name), extras, text: path, path, ...optional('marker', marker) }]
  const git = string(table['git'])
  const reference = string(table['rev']) ?? string(table['ref']) ?? string(table['tag']) ?? string(table['branch'])
  const url =
    git === undefined
      ? (string(table['url']) ?? string(table['file']))
      : gitUrl(git, reference, string(table['subdirectory']))
  if (url === undefined) return [named(name, extras, string(table['version']) ?? '*', marker)]
  const bracketed = extras.length === 0 ? '' : `[${extras.join(',')}]`
  return [
    {
      name: normalName(name),
      extras: extras.map(normalName),
      text: `${name}${bracketed} @ ${url}`,
      ...optional('marker', marker),
    },
  ]
}

/** `sys_platform` and `python` stand beside `markers` in the tables of both. */
function markerOf(table: Readonly<Record<string, unknown>>): string | undefined {
  const parts = [string(table['markers'])].filter(part => part !== undefined)
  for (const name of ['sys_platform', 'platform_system', 'platform_machine', 'os_name', 'python_version']) {
    const condition = string(table[name])
    if (condition !== undefined) parts.push(`${name} ${condition}`)
  }
  const python = string(table['python'])
  if (python !== undefined)
    for (const clause of toPep440(python).split(',').filter(Boolean)) {
      const [, operator = '==', version = ''] = /^([<>=!~]+)(.*)$/.exec(clause) ?? []
      parts.push(`python_version ${operator} "${version}"`)
    }
  return parts.length === 0 ? undefined : parts.map(part => (parts.length > 1 ? `(${part})` : part)).join(' and ')
}

export function gitUrl(git: string, reference: string | undefined, subdirectory?: string): string {
  const scp = /^git@([^:/]+):(.+)$/.exec(git)
  const url = scp === null ? git : `ssh://git@${scp[1]}/${scp[2]}`
  const below = subdirectory === undefined ? '' : `#subdirectory=${subdirectory}`
  return `${url.startsWith('git+') ? '' : 'git+'}${url}${reference === undefined ? '' : `@${reference}`}${below}`
}

function named(name: string, extras: readonly string[], constraint: string, marker: string | undefined): Requirement {
  const bracketed = extras.length === 0 ? '' : `[${extras.join(',')}]`
  return {
    name: normalName(name),
    extras: extras.map(normalName),
    text: `${name}${bracketed}${toPep440(constraint)}`,
    ...optional('marker', marker),
  }
}

export function optional<Name extends string>(name: Name, value: string | undefined): { [Key in Name]?: string } {
  return (value === undefined ? {} : { [name]: value }) as { [Key in Name]?: string }
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

export function list(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : []
}

export function records(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(record) : []
}

export function string(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
