/** Finds the object that a server is pointed at, by reading the source: never a guessed `main:app`. */
import { posix } from 'node:path'
import type { ProjectFiles } from './project-files.ts'

export type ApplicationKind = 'asgi' | 'wsgi'

export interface PythonApplication {
  path: string
  /** Such as `FastAPI`. */
  framework: string
  kind: ApplicationKind
  /** Name of the object, or of the function that makes it. */
  object: string
  isFactory: boolean
  /** Folder that modules are imported from; `.` is the project itself. */
  root: string
  /** As imported from there: `shop.main`. */
  module: string
  /** The file starts a server by itself when it is run. */
  runs: boolean
}

const frameworks = {
  FastAPI: 'asgi',
  Starlette: 'asgi',
  Litestar: 'asgi',
  Quart: 'asgi',
  Robyn: 'asgi',
  Flask: 'wsgi',
  Bottle: 'wsgi',
  APIFlask: 'wsgi',
  OpenAPI: 'wsgi',
} as const satisfies Record<string, ApplicationKind>
type Framework = keyof typeof frameworks
const names = Object.keys(frameworks).join('|')

const made = new RegExp(`^([A-Za-z_]\\w*)[ \\t]*(?::[^=\\n]+)?=[ \\t]*(?:\\w+\\.)*(${names})[ \\t]*\\(`, 'm')
const makes = new RegExp(`\\b(?:\\w+\\.)*(${names})[ \\t]*\\(`)
const factory =
  /^(?:async[ \t]+)?def[ \t]+((?:create|make|get|build)_(?:app|application|api|server)|app_factory)[ \t]*\(([^)]*)\)[^\n]*:[^\n]*\n((?:[ \t]+[^\n]*\n|[ \t]*\n)*)/gm
const called =
  /^([A-Za-z_]\w*)[ \t]*(?::[^=\n]+)?=[ \t]*(?:\w+\.)*(?:create|make|get|build)_(?:app|application|api|server)[ \t]*\(/m
const imported = new RegExp(
  `^[ \\t]*(?:from|import)[ \\t]+(fastapi|starlette|litestar|quart|robyn|flask|bottle|apiflask)\\b`,
  'm',
)

/** Looked at first, in this order. */
const usualNames = [
  'main',
  'app',
  'server',
  'wsgi',
  'asgi',
  'application',
  'api',
  'run',
  'start',
  'hello',
  'index',
  '__init__',
  'web',
]
const notApplications =
  /(?:^|\/)(?:\.?venv|env|tests?|docs?|examples?|migrations|alembic|scripts|node_modules|site-packages|build|dist|\.[^/]+)\/|(?:^|\/)(?:test_[^/]*|[^/]*_test|conftest|setup|noxfile|tasks|fabfile)\.py$/
const maxFiles = 200
const maxDepth = 4
const maxLength = 256 * 1024

/** Python files worth a look: near the top and of the usual names first. */
export function pythonSources(files: ProjectFiles): string[] {
  const rank = (path: string) => {
    const index = usualNames.indexOf(posix.basename(path, '.py'))
    return index === -1 ? usualNames.length : index
  }
  const depth = (path: string) => path.split('/').length
  return files.paths
    .filter(path => path.endsWith('.py') && depth(path) <= maxDepth && !notApplications.test(path))
    .toSorted((a, b) => depth(a) - depth(b) || rank(a) - rank(b) || (a < b ? -1 : 1))
    .slice(0, maxFiles)
}

/** The application of the first file that has one: an object before a function that makes one. */
export async function findApplication(files: ProjectFiles): Promise<PythonApplication | undefined> {
  const factories: PythonApplication[] = []
  const uncertain: PythonApplication[] = []
  let known: Framework | undefined
  for (const path of pythonSources(files)) {
    const source = await readSource(files, path)
    if (source === undefined) continue
    known ??= frameworkImported(source)
    const found = applicationIn(source)
    if (found === undefined) continue
    const { framework, object, isFactory } = found
    const application: PythonApplication = {
      path,
      framework: framework ?? '',
      kind: framework === undefined ? 'wsgi' : frameworks[framework],
      object,
      isFactory,
      runs: startsServer(source),
      ...importPath(files, path, source),
    }
    if (framework === undefined) uncertain.push(application)
    else if (isFactory) factories.push(application)
    else return application
  }
  // `app = create_app()` of another module's function: of whatever framework that one is.
  const [first] = uncertain
  const maker = factories[0]
  if (first !== undefined && (maker !== undefined || known !== undefined)) {
    const framework = maker?.framework ?? known ?? ''
    return { ...first, framework, kind: frameworks[framework as Framework] }
  }
  return maker
}

/** Long or unreadable ones are passed over. Without triple-quoted strings, in which examples stand. */
export async function readSource(files: ProjectFiles, path: string): Promise<string | undefined> {
  const text = await files.read(path).catch(() => undefined)
  if (text === undefined || text.length > maxLength) return undefined
  return `${text.replaceAll('\r\n', '\n').replaceAll(/("""|''')[\s\S]*?\1/g, '""')}\n`
}

export function startsServer(source: string): boolean {
  const main = /^if[ \t]+__name__[ \t]*==[ \t]*["']__main__["'][ \t]*:([\s\S]*)/m.exec(source)?.[1]
  return (main ?? '').length > 0 || /^(?:\w+\.)*(?:run|serve|serve_forever)\(/m.test(source)
}

interface Found {
  framework: Framework | undefined
  object: string
  isFactory: boolean
}

function applicationIn(source: string): Found | undefined {
  const direct = made.exec(source)
  if (direct?.[1] !== undefined) return { framework: direct[2] as Framework, object: direct[1], isFactory: false }
  const call = called.exec(source)
  const maker = [...source.matchAll(factory)].find(
    ([, , parameters = '', body = '']) => allOptional(parameters) && makes.test(body),
  )
  const framework = maker === undefined ? undefined : (makes.exec(maker[3] ?? '')?.[1] as Framework | undefined)
  if (call?.[1] !== undefined) return { framework, object: call[1], isFactory: false }
  return maker?.[1] === undefined ? undefined : { framework, object: maker[1], isFactory: true }
}

function allOptional(parameters: string): boolean {
  // What stands in brackets is a type: its commas part no parameters.
  return parameters
    .replaceAll(/\[[^\]]*\]|\([^)]*\)/g, '')
    .split(',')
    .map(parameter => parameter.replace(/#.*/, '').trim())
    .every(parameter => parameter === '' || parameter.startsWith('*') || parameter === '/' || parameter.includes('='))
}

function frameworkImported(source: string): Framework | undefined {
  const name = imported.exec(source)?.[1]
  return (Object.keys(frameworks) as Framework[]).find(framework => framework.toLowerCase() === name)
}

/** Where a module is imported from: the project, its `src`, or the module's own folder where that is how its imports read. */
function importPath(files: ProjectFiles, path: string, source: string): Pick<PythonApplication, 'root' | 'module'> {
  const folder = posix.dirname(path)
  const stem = path.slice(0, -3)
  const dotted = (from: string) => {
    const relative = from === '.' ? stem : stem.slice(from.length + 1)
    return relative
      .split('/')
      .filter((part, index, parts) => part !== '__init__' || index < parts.length - 1 || parts.length === 1)
      .join('.')
  }
  if (folder === '.') return { root: '.', module: dotted('.') }
  const top = path.slice(0, path.indexOf('/'))
  const isSourceFolder = top === 'src' && !files.has('src/__init__.py')
  const isPackage = files.has(`${folder}/__init__.py`)
  if (!isPackage && importsBeside(files, folder, source)) return { root: folder, module: dotted(folder) }
  return isSourceFolder ? { root: 'src', module: dotted('src') } : { root: '.', module: dotted('.') }
}

/** It imports a module that lies beside it and not at the top. */
function importsBeside(files: ProjectFiles, folder: string, source: string): boolean {
  const there = (name: string) => files.has(`${name}.py`) || files.paths.some(path => path.startsWith(`${name}/`))
  return [...source.matchAll(/^(?:from|import)[ \t]+(\w+)/gm)].some(
    ([, name = '']) => there(`${folder}/${name}`) && !there(name),
  )
}
