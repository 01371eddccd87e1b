/** Which Python a project asks for, and whether sandboxes have it. */
import { AppError } from '@coderunner/contract'
import type { Findings } from './findings.ts'
import type { ProjectFiles } from './project-files.ts'
import { readToml, type Table, tableAt } from './python-manifest.ts'
import { string } from './python-requirement.ts'
import { satisfies } from './python-specifier.ts'

/** The one sandboxes have: that of Debian bookworm, which their base image is made of. */
export const sandboxPython = '3.11.2'

interface Asked {
  where: string
  text: string
  /** A range is taken at its word; of an exact version the last number is not. */
  kind: 'range' | 'version'
}

/** Notes what was found. Throws when the project asks for a Python that is not there. */
export async function checkPythonVersion(
  files: ProjectFiles,
  pyproject: Table | undefined,
  findings: Findings,
): Promise<void> {
  const asked = await firstAsked(files, pyproject)
  const line = sandboxPython.split('.').slice(0, 2).join('.')
  if (asked === undefined) return findings.found(`Python ${line}`, 'the project asks for no version')
  const { where, text, kind } = asked
  if (/^(?:pypy|graalpy|jython|miniconda|anaconda)/i.test(text))
    throw new AppError('not_supported', `${where} asks for ${text}; CodeRunner runs CPython ${line} only.`)
  const wanted = kind === 'range' ? text : text.split('.').slice(0, 2).join('.')
  const fits = kind === 'range' ? satisfies(sandboxPython, text) : satisfies(sandboxPython, `==${wanted}.*`)
  if (fits === undefined) {
    findings.warn(`“${text.slice(0, 60)}” (${where}) is no version of Python; ${sandboxPython} is used.`)
    return
  }
  if (!fits)
    throw new AppError(
      'not_supported',
      `${where} asks for Python ${text}, and sandboxes have Python ${sandboxPython}. Change ${where.split(' ').at(-1)} so that it allows ${line}, and try the project with it.`,
    )
  if (kind === 'version' && text.split('.').length > 2 && text !== sandboxPython)
    findings.warn(`${where} asks for Python ${text}; ${sandboxPython} is used.`)
  findings.found(`Python ${line}`, `${where} asks for ${text}`)
}

async function firstAsked(files: ProjectFiles, pyproject: Table | undefined): Promise<Asked | undefined> {
  for (const read of [dotPythonVersion, runtimeTxt, pipfile]) {
    const asked = await read(files)
    if (asked !== undefined) return asked
  }
  const range = string(tableAt(pyproject, 'project')['requires-python'])
  if (range !== undefined) return { where: 'requires-python of pyproject.toml', text: range, kind: 'range' }
  const poetry = string(tableAt(pyproject, 'tool', 'poetry', 'dependencies')['python'])
  if (poetry !== undefined) return { where: 'the python dependency of pyproject.toml', text: poetry, kind: 'range' }
  return toolVersions(files)
}

async function dotPythonVersion(files: ProjectFiles): Promise<Asked | undefined> {
  const line = linesOf(await files.read('.python-version'))[0]
  const text = line?.replace(/^(?:python-|cpython-?|cpython@)(?=\d)/, '')
  return text === undefined ? undefined : { where: '.python-version', text, kind: kindOf(text) }
}

async function runtimeTxt(files: ProjectFiles): Promise<Asked | undefined> {
  const line = linesOf(await files.read('runtime.txt'))[0]
  const text = line?.replace(/^python-/, '')
  return text === undefined ? undefined : { where: 'runtime.txt', text, kind: 'version' }
}

async function pipfile(files: ProjectFiles): Promise<Asked | undefined> {
  const requires = tableAt(await readToml(files, 'Pipfile'), 'requires')
  const text = string(requires['python_full_version']) ?? string(requires['python_version'])
  return text === undefined || text === '*' ? undefined : { where: 'Pipfile', text, kind: kindOf(text) }
}

async function toolVersions(files: ProjectFiles): Promise<Asked | undefined> {
  const line = linesOf(await files.read('.tool-versions')).find(candidate => /^python\s/.test(candidate))
  const text = line?.split(/\s+/)[1]
  return text === undefined ? undefined : { where: '.tool-versions', text, kind: 'version' }
}

function kindOf(text: string): Asked['kind'] {
  return /^[\d.]+$/.test(text) ? 'version' : 'range'
}

function linesOf(text: string | undefined): string[] {
  return (text ?? '')
    .split(/\r?\n/)
    .map(line => line.replace(/#.*/, '').trim())
    .filter(Boolean)
}
