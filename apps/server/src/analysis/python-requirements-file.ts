/** requirements.txt as pip reads it: continued lines, options, other files that it includes. Pure but for reading. */
import { posix } from 'node:path'
import { AppError } from '@coderunner/contract'
import type { ProjectFiles } from './project-files.ts'
import { parseRequirement } from './python-requirement.ts'

export interface RequirementsFile {
  /** Normalised names, with extras such as `fastapi[standard]`. */
  names: Set<string>
  /** It and all that it includes. */
  files: string[]
  /** Of the files that name folders of the project: their text without those lines. */
  contents: Record<string, string>
  /** Folders of the project that are installed from the source. */
  paths: string[]
  /** Environment variables that the files mention: pip puts their values in. */
  variables: string[]
}

const maxFiles = 50

export async function readRequirements(files: ProjectFiles, first: string): Promise<RequirementsFile> {
  const result: RequirementsFile = { names: new Set(), files: [], contents: {}, paths: [], variables: [] }
  const queue = [first]
  for (let path = queue.shift(); path !== undefined && result.files.length < maxFiles; path = queue.shift()) {
    if (result.files.includes(path)) continue
    const text = await files.read(path)
    if (text === undefined) throw missing(path, result.files.at(-1) ?? first)
    result.files.push(path)
    queue.push(...readOne(path, text, result))
  }
  return result
}

/** The files it includes. */
function readOne(path: string, text: string, result: RequirementsFile): string[] {
  const included: string[] = []
  const kept: string[] = []
  for (const line of text.replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    const words = line.replace(/(?:^|\s)#.*$/, '').trim()
    for (const [, name] of words.matchAll(/\$\{([A-Z0-9_]+)\}/g))
      if (name !== undefined && !result.variables.includes(name)) result.variables.push(name)
    const include = /^(?:-r|-c|--requirement|--constraint)(?:\s+|=|(?<=-[rc]))(\S+)/.exec(words)?.[1]
    if (include !== undefined && !/^[a-z+]+:/i.test(include)) included.push(posix.join(posix.dirname(path), include))
    const folder = folderOf(words)
    if (folder === undefined) kept.push(line)
    else if (!result.paths.includes(folder)) result.paths.push(folder)
    const requirement = parseRequirement(words.replace(/\s--(?:hash|config-settings|global-option)[=\s].*$/, ''))
    if (requirement === undefined || folder !== undefined) continue
    result.names.add(requirement.name)
    for (const extra of requirement.extras) result.names.add(`${requirement.name}[${extra}]`)
  }
  if (kept.length < text.replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/).length) result.contents[path] = kept.join('\n')
  return included
}

/** A line such as `-e .` or `./lib`: the source is not there yet while dependencies are installed. */
function folderOf(line: string): string | undefined {
  const editable = /^(?:-e|--editable)(?:\s+|=)(\S+)/.exec(line)?.[1]
  const target = editable ?? line
  if (/^\.{0,2}\/|^\.(?:\[|$)/.test(target) && !/^\/(?!app\/)/.test(target)) return target
  return editable !== undefined && /^[\w./[\],-]+$/.test(editable) ? editable : undefined
}

function missing(path: string, by: string): AppError {
  return new AppError(
    'build_failed',
    path === by
      ? `${path} is no text that can be read.`
      : `${by} includes ${path}, which is not among the files. Add it, or take the line out.`,
  )
}
