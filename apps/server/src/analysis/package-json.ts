import { AppError } from '@coderunner/contract'
import type { ProjectFiles } from './project-files.ts'

/** The parts of a package.json that decide how a project is built and started; anything of a wrong type counts as absent. */
export interface PackageJson {
  main: string | undefined
  scripts: Readonly<Record<string, string>>
  nodeRange: string | undefined
  packageManager: string | undefined
  dependencies: number
  devDependencies: number
  hasWorkspaces: boolean
}

export async function readPackageJson(files: ProjectFiles): Promise<PackageJson | undefined> {
  const text = await files.read('package.json')
  return text === undefined ? undefined : parsePackageJson(text)
}

export function parsePackageJson(text: string): PackageJson {
  const json = parse(text)
  const scripts = Object.entries(record(json['scripts'])).filter((entry): entry is [string, string] => {
    const [, command] = entry
    return typeof command === 'string' && command.trim() !== ''
  })
  return {
    main: string(json['main']),
    scripts: Object.fromEntries(scripts),
    nodeRange: string(record(json['engines'])['node']),
    packageManager: string(json['packageManager']),
    dependencies:
      Object.keys(record(json['dependencies'])).length + Object.keys(record(json['optionalDependencies'])).length,
    devDependencies: Object.keys(record(json['devDependencies'])).length,
    hasWorkspaces: json['workspaces'] !== undefined,
  }
}

/** Without the scripts npm runs by itself around an install: the install sees no source they could work on. */
export function withoutLifecycleScripts(text: string): string {
  const json = parse(text)
  const scripts = Object.entries(record(json['scripts'])).filter(([name]) => !installScripts.includes(name))
  return JSON.stringify({ ...json, scripts: Object.fromEntries(scripts) }, undefined, 2)
}

/** What `npm install` runs of the project itself, in this order. */
export const installScripts = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare']

function parse(text: string): Record<string, unknown> {
  let json: unknown
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new AppError('build_failed', `package.json is not valid JSON: ${positioned(text, (error as Error).message)}`, {
      cause: error,
    })
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new AppError('build_failed', 'package.json is not an object: it has to begin with { and end with }.')
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
