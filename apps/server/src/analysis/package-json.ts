import { AppError } from '@coderunner/contract'
import type { ProjectFiles } from './project-files.ts'

/** The parts of a package.json that decide how a project is built and started; anything of a wrong type counts as absent. */
export interface PackageJson {
  name: string | undefined
  main: string | undefined
  scripts: Readonly<Record<string, string>>
  engines: Readonly<Record<string, string>>
  /** Version of Node that Volta pins. */
  voltaNode: string | undefined
  packageManager: string | undefined
  /** Optional ones included. */
  dependencies: Readonly<Record<string, string>>
  devDependencies: Readonly<Record<string, string>>
  /** Patterns of the folders that are workspaces; undefined when it declares none. */
  workspaces: readonly string[] | undefined
}

export async function readPackageJson(files: ProjectFiles, path = 'package.json'): Promise<PackageJson | undefined> {
  const text = await files.read(path)
  return text === undefined ? undefined : parsePackageJson(text, path)
}

export function parsePackageJson(text: string, path = 'package.json'): PackageJson {
  const json = parse(text, path)
  return {
    name: string(json['name']),
    main: string(json['main']),
    scripts: strings(json['scripts']),
    engines: strings(json['engines']),
    voltaNode: string(record(json['volta'])['node']),
    packageManager: string(json['packageManager']),
    dependencies: { ...strings(json['dependencies']), ...strings(json['optionalDependencies']) },
    devDependencies: strings(json['devDependencies']),
    workspaces: patterns(json['workspaces']),
  }
}

/** Whether it depends on a package, to run or to build. */
export function dependsOn({ dependencies, devDependencies }: PackageJson, name: string): boolean {
  return dependencies[name] !== undefined || devDependencies[name] !== undefined
}

/** `["packages/*"]`, or `{"packages": […]}` as Yarn has it. */
function patterns(value: unknown): string[] | undefined {
  const list = Array.isArray(value) ? value : record(value)['packages']
  return Array.isArray(list) ? list.filter(item => typeof item === 'string') : undefined
}

function strings(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(record(value)).filter((entry): entry is [string, string] => string(entry[1]) !== undefined),
  )
}

/**
 * Without scripts: the install sees no source they could work on, and what starts or builds the project changes nothing of
 * what is installed.
 */
export function withoutScripts(text: string, path = 'package.json'): string {
  const { scripts: _, ...json } = parse(text, path)
  return JSON.stringify(json, undefined, 2)
}

/** What `npm install` runs of the project itself, in this order. */
export const installScripts = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare']

function parse(text: string, path: string): Record<string, unknown> {
  let json: unknown
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new AppError('build_failed', `${path} is not valid JSON: ${positioned(text, (error as Error).message)}`, {
      cause: error,
    })
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new AppError('build_failed', `${path} is not an object: it has to begin with { and end with }.`)
  return json as Record<string, unknown>
}

/** The parser's message with line and column, and the line itself. */
function positioned(text: string, message: string): string {
  const position = validLength(text)
  const before = text.slice(0, position).split('\n')
  const line = text.split('\n')[before.length - 1]?.trim().slice(0, 100) ?? ''
  const cause = message.replace(/ in JSON at position.*$/s, '').replace(/, (?:"|\.\.\.").* is not valid JSON$/s, '')
  return `${cause} at line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}${line === '' ? '.' : `: ${line}`}`
}

/** Length of the longest beginning that could still become valid. The parser itself does not always say. */
function validLength(text: string): number {
  let good = 0
  let bad = text.length + 1
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    if (isBeginning(text.slice(0, middle))) good = middle
    else bad = middle
  }
  return good
}

function isBeginning(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch (error) {
    const { message } = error as Error
    const position = /at position (\d+)/.exec(message)
    if (/end of JSON/.test(message)) return true
    return position !== null && Number(position[1]) >= text.length
  }
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined
}
