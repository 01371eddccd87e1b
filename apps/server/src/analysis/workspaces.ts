/** Several packages in one tree, installed together: `workspaces` of package.json, or `pnpm-workspace.yaml`. */
import { AppError } from '@coderunner/contract'
import { parse } from 'yaml'
import { type PackageJson, readPackageJson } from './package-json.ts'
import type { ProjectFiles } from './project-files.ts'

export interface Workspace {
  folder: string
  json: PackageJson
}
export interface Workspaces {
  /** File that names them. */
  declaredIn: string
  members: readonly Workspace[]
}

/** The workspaces of a project, undefined when it declares none. */
export async function readWorkspaces(files: ProjectFiles): Promise<Workspaces | undefined> {
  const declared = await declaration(files)
  if (declared === undefined) return undefined
  const wanted = declared.patterns.filter(pattern => !pattern.startsWith('!')).map(matcher)
  const unwanted = declared.patterns
    .filter(pattern => pattern.startsWith('!'))
    .map(pattern => matcher(pattern.slice(1)))
  const folders = files.paths
    .filter(path => path.endsWith('/package.json'))
    .map(path => path.slice(0, -'/package.json'.length))
    .filter(folder => wanted.some(matches => matches(folder)) && !unwanted.some(matches => matches(folder)))
    .sort()
  const members: Workspace[] = []
  for (const folder of folders) {
    const json = await readPackageJson(files, `${folder}/package.json`)
    if (json !== undefined) members.push({ folder, json })
  }
  return { declaredIn: declared.declaredIn, members }
}

/** The workspaces of a project when `folder` is one of them. */
export async function workspaceOf(files: ProjectFiles, folder: string): Promise<Workspaces | undefined> {
  const workspaces = await readWorkspaces(files).catch((error: unknown) => {
    // What is wrong above the folder that is deployed is no matter of its own.
    if (error instanceof AppError) return undefined
    throw error
  })
  return workspaces?.members.some(member => member.folder === folder) === true ? workspaces : undefined
}

/** Those of the workspaces that one of them needs, each after what it needs itself; it comes last. */
export function buildOrder({ members }: Workspaces, folder: string): Workspace[] {
  const byName = new Map(
    members.flatMap(member => (member.json.name === undefined ? [] : [[member.json.name, member]])),
  )
  const ordered: Workspace[] = []
  const seen = new Set<Workspace>()
  const visit = (member: Workspace) => {
    if (seen.has(member)) return
    seen.add(member)
    for (const name of Object.keys({ ...member.json.dependencies, ...member.json.devDependencies })) {
      const needed = byName.get(name)
      if (needed !== undefined) visit(needed)
    }
    ordered.push(member)
  }
  const last = members.find(member => member.folder === folder)
  if (last !== undefined) visit(last)
  return ordered
}

async function declaration(files: ProjectFiles): Promise<{ declaredIn: string; patterns: string[] } | undefined> {
  const text = await files.read('pnpm-workspace.yaml')
  if (text !== undefined) {
    const packages = pnpmPackages(text)
    if (packages !== undefined) return { declaredIn: 'pnpm-workspace.yaml', patterns: packages }
  }
  const json = await readPackageJson(files)
  return json?.workspaces === undefined ? undefined : { declaredIn: 'package.json', patterns: [...json.workspaces] }
}

function pnpmPackages(text: string): string[] | undefined {
  let value: unknown
  try {
    value = parse(text)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new AppError('build_failed', `pnpm-workspace.yaml is not valid YAML: ${message}`, { cause })
  }
  const packages = typeof value === 'object' && value !== null && 'packages' in value ? value.packages : undefined
  return Array.isArray(packages) ? packages.filter(item => typeof item === 'string') : undefined
}

/** `*` is part of one name, `**` any number of folders, as every package manager has them. */
function matcher(pattern: string): (folder: string) => boolean {
  const parts = pattern
    .split('/')
    .filter((part, index, all) => part !== '' && part !== '.' && !(part === '**' && all[index - 1] === '**'))
  // Written by whoever uploads: one that would take long to match matches nothing.
  if (pattern.length > 200 || (pattern.match(/\*+/g) ?? []).length > 6) return () => false
  const source = parts.map((part, index) => {
    const slash = index === parts.length - 1 ? '' : '/'
    if (part === '**') return index === parts.length - 1 ? '.+' : '(?:[^/]+/)*'
    const text = part
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*+/g, '[^/]*')
      .replaceAll('?', '[^/]')
    return text.replace(/\\\{([^{}]*)\\\}/g, (_, names: string) => `(?:${names.replaceAll(',', '|')})`) + slash
  })
  const expression = new RegExp(`^${source.join('')}$`)
  return folder => expression.test(folder)
}
