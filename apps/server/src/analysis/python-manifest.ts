/** pyproject.toml, Pipfile and lock files as data, or an error that says where they do not parse. Pure. */
import { AppError } from '@coderunner/contract'
import { parse, TomlError } from 'smol-toml'
import type { ProjectFiles } from './project-files.ts'
import { record } from './python-requirement.ts'

export type Table = Readonly<Record<string, unknown>>

export async function readToml(files: ProjectFiles, path: string): Promise<Table | undefined> {
  const text = await files.read(path)
  return text === undefined ? undefined : parseToml(path, text)
}

export function parseToml(path: string, text: string): Table {
  try {
    return parse(text, { maxDepth: 50 })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    const line = text.split('\n')[error.line - 1]?.trim().slice(0, 100) ?? ''
    throw new AppError(
      'build_failed',
      `${path} is not valid TOML: ${what} at line ${error.line}, column ${error.column}${line === '' ? '.' : `: ${line}`}`,
      { cause: error },
    )
  }
}

export function parseJsonLock(path: string, text: string): Table {
  try {
    return record(JSON.parse(text) as unknown)
  } catch (cause) {
    throw new AppError('build_failed', `${path} is not valid JSON: write it again with pipenv lock.`, { cause })
  }
}

/** The table at `tool.poetry.dependencies` and the like, empty when there is none. */
export function tableAt(table: Table | undefined, ...path: string[]): Table {
  return path.reduce<Table>((at, key) => record(at[key]), table ?? {})
}
