/**
 * `coderunner.yaml`: what a project asks for, in its own files.
 *
 *     runtime: python
 *     directory: backend
 *     build: make assets
 *     start: gunicorn shop:app
 *     release: python manage.py migrate
 *     port: 8000
 *     processes:
 *       worker: python worker.py
 *       mailer: { command: python mail.py, count: 2 }
 *
 * `processes` names all there are besides `start`, which is the process `web`; without either of them, how the project
 * starts is found out. `root` and `indexFallback` are for static sites. Variables of the environment have no place in it.
 */
import { AppError, api } from '@coderunner/contract'
import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { type Document, isMap, isNode, LineCounter, parseDocument, visit } from 'yaml'
import type { Wishes } from './analysis-context.ts'
import type { Findings } from './findings.ts'
import { nearestWord } from './nearest-word.ts'
import type { ProjectFiles } from './project-files.ts'

const Command = Type.String({ minLength: 1, maxLength: 2000 })
const Process = Type.Object(
  { command: Command, count: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })) },
  { additionalProperties: false },
)
const { runtime, port, build, directory } = api.DeployOptions.properties
const ProjectFile = Type.Object(
  {
    runtime,
    directory,
    build,
    start: Type.Optional(Command),
    release: Type.Optional(Command),
    port,
    processes: Type.Optional(Type.Record(Type.String(), Type.Union([Command, Process]))),
    root: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
    indexFallback: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)
type ProjectFile = Static<typeof ProjectFile>

const names = ['coderunner.yaml', 'coderunner.yml']
const known = Object.keys(ProjectFile.properties)
const processKeys = Object.keys(Process.properties)
const processType = /^[a-z][a-z0-9-]{0,30}$/
const maxBytes = 64 * 1024
/** Each repeats what it stands for: a few are handy, many are a bomb. */
const maxAliases = 20
const maxDepth = 10

/** What `coderunner.yaml` asks for. Throws when it is not valid, naming the place. */
export async function readProjectFile(files: ProjectFiles, findings: Findings): Promise<Wishes | undefined> {
  const present = names.filter(name => files.has(name))
  const [name] = present
  const text = name === undefined ? undefined : await files.read(name)
  if (name === undefined || text === undefined) return undefined
  if (present.length > 1) findings.warn(`There are ${present.join(' and ')}; ${name} is read.`)
  const wishes = parseProjectFile(name, text)
  const said = Object.keys(wishes)
  if (said.length > 0) findings.found(said.join(', '), `${name} says so`)
  return wishes
}

export function parseProjectFile(name: string, text: string): Wishes {
  if (Buffer.byteLength(text) > maxBytes)
    throw new AppError('build_failed', `${name} is larger than ${maxBytes / 1024} KB.`)
  const places = new LineCounter()
  const document = parseDocument(text, { lineCounter: places, uniqueKeys: true, schema: 'core', merge: false })
  const problem = (message: string, offset: number | undefined): AppError => {
    const { line, col } = places.linePos(offset ?? 0)
    return new AppError('build_failed', `${name}, line ${line}, column ${col}: ${message}`)
  }
  const [error] = document.errors
  if (error !== undefined) throw problem(firstLine(error.message), error.pos[0])
  if (document.contents === null) return {}
  if (!isMap(document.contents)) throw problem('it has to be a list of settings, such as “start: node server.js”.', 0)
  checkShape(document, problem)
  const value = toPlain(document, problem)
  for (const [path, allowed] of keyLists(value)) checkKeys(document, path, allowed, problem)
  if (!Value.Check(ProjectFile, value)) {
    const [first] = [...Value.Errors(ProjectFile, value)]
    const path = (first?.instancePath ?? '').split('/').slice(1)
    throw problem(`${path.join('.')} ${expectation(path)}.`, offsetOf(document, path))
  }
  return wishesOf(value)
}

type Problem = (message: string, offset: number | undefined) => AppError

function checkShape(document: Document, problem: Problem): void {
  let aliases = 0
  visit(document, {
    Alias: (_key, node) => {
      if (++aliases > maxAliases) throw problem(`there are more than ${maxAliases} aliases.`, node.range?.[0])
    },
    Node: (_key, node, path) => {
      if (path.length > maxDepth * 2) throw problem(`it is nested more than ${maxDepth} levels deep.`, node.range?.[0])
    },
  })
}

function toPlain(document: Document, problem: Problem): unknown {
  try {
    return document.toJS({ maxAliasCount: maxAliases })
  } catch (error) {
    throw problem(firstLine((error as Error).message), 0)
  }
}

function* keyLists(value: unknown): Generator<[path: string[], allowed: readonly string[]]> {
  yield [[], known]
  const processes = (value as Record<string, unknown>)['processes']
  if (typeof processes !== 'object' || processes === null) return
  for (const [type, process] of Object.entries(processes))
    if (typeof process === 'object' && process !== null) yield [['processes', type], processKeys]
}

function checkKeys(document: Document, path: readonly string[], allowed: readonly string[], problem: Problem): void {
  const map = path.length === 0 ? document.contents : document.getIn(path, true)
  if (!isMap(map)) return
  for (const { key } of map.items) {
    const name = String(isNode(key) && 'value' in key ? key.value : key)
    if (allowed.includes(name)) continue
    const near = nearestWord(name, allowed)
    const hint =
      name === 'env'
        ? 'variables are set with coderunner env, so that no secret lies in the source'
        : near === undefined
          ? `known are ${allowed.join(', ')}`
          : `did you mean ${near}?`
    throw problem(
      `there is no setting “${name.slice(0, 60)}”${hint.endsWith('?') ? `; ${hint}` : `: ${hint}.`}`,
      isNode(key) ? key.range?.[0] : 0,
    )
  }
}

const expectations: Readonly<Record<string, string>> = {
  runtime: `has to be one of ${api.runtimes.join(', ')}`,
  directory: 'has to be a folder of the project',
  build: 'has to be a command of at most 2000 characters, empty for none',
  start: 'has to be a command of at most 2000 characters',
  release: 'has to be a command of at most 2000 characters',
  port: 'has to be a number from 1 to 65535',
  processes: 'has to name processes, each with a command or with “command” and “count” (0 to 100)',
  root: 'has to be a folder',
  indexFallback: 'has to be true or false',
}

function expectation([key = '']: readonly string[]): string {
  return expectations[key] ?? 'is not valid'
}

/** Where the innermost part of the path that is there begins. */
function offsetOf(document: Document, path: readonly string[]): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
  }
  return 0
}

function wishesOf({ processes, start, ...rest }: ProjectFile): Wishes {
  if (processes === undefined) return { ...rest, ...(start === undefined ? {} : { start }) }
  const plans = Object.entries(processes).map(([type, process]): api.ProcessPlan => {
    if (!processType.test(type))
      throw new AppError(
        'build_failed',
        `“${type.slice(0, 40)}” is no name for a process: small letters, digits and “-”, a letter first.`,
      )
    return typeof process === 'string'
      ? { type, command: process, count: 1 }
      : { type, command: process.command, count: process.count ?? 1 }
  })
  const release = rest.release ?? plans.find(({ type }) => type === 'release')?.command
  const others = plans.filter(({ type }) => type !== 'release')
  return {
    ...rest,
    ...(start === undefined ? {} : { start }),
    ...(release === undefined ? {} : { release }),
    processes: others,
  }
}

function firstLine(message: string): string {
  return message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '.') ?? message
}
