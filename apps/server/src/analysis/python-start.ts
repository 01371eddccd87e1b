/** The command that starts a Python project: a server that is installed, pointed at the application that was found. */
import { AppError } from '@coderunner/contract'
import type { Findings } from './findings.ts'
import type { ProjectFiles } from './project-files.ts'
import { findApplication, type PythonApplication, pythonSources, readSource } from './python-application.ts'
import type { DjangoProject } from './python-django.ts'
import { type Table, tableAt } from './python-manifest.ts'

export interface PythonStart {
  framework?: string
  process: 'web' | 'worker'
  command: string
  release?: string
}

/** Scripts that are run when there is no application object; the first that is there. */
export const pythonEntries = [
  'main.py',
  'app.py',
  'start.py',
  'bot.py',
  'hello.py',
  'server.py',
  'run.py',
  '__main__.py',
]

export interface StartInputs {
  files: ProjectFiles
  pyproject: Table | undefined
  installed: ReadonlySet<string>
  django: DjangoProject | undefined
  findings: Findings
}

export async function pythonStart(inputs: StartInputs): Promise<PythonStart | undefined> {
  const { files, django, installed } = inputs
  if (django !== undefined) return djangoStart(django, inputs)
  const streamlit = installed.has('streamlit') ? await streamlitStart(inputs) : undefined
  if (streamlit !== undefined) return streamlit
  const application = await findApplication(files)
  if (application !== undefined) return applicationStart(application, inputs)
  return scriptStart(inputs)
}

function djangoStart(django: DjangoProject, { installed, findings }: StartInputs): PythonStart {
  const { manage, root, wsgi, asgi, prefersAsgi, usesSqlite } = django
  const asgiServer = asgi === undefined ? undefined : asgiCommand(installed, { target: asgi, root, isFactory: false })
  const wsgiServer = wsgi === undefined ? undefined : wsgiCommand(installed, { target: wsgi, root, isFactory: false })
  const server = (prefersAsgi ? asgiServer : undefined) ?? wsgiServer ?? asgiServer
  if (server === undefined)
    throw new AppError(
      'nothing_to_run',
      wsgi === undefined && asgi === undefined
        ? `${manage} is there, but neither a wsgi.py nor an asgi.py beside the settings, which a server would run.`
        : 'This is a Django project without a server: runserver is for development only. Add gunicorn to the dependencies.',
    )
  findings.found(`start: ${server}`, `Django: ${manage} is there, and the server is among the dependencies`)
  const migrate = `python ${manage} migrate --noinput`
  if (!usesSqlite) {
    findings.found(`release: ${migrate}`, 'Django: the database is brought up to date before a new version serves')
    return { framework: 'Django', process: 'web', command: server, release: migrate }
  }
  findings.warn(
    'The settings name a SQLite database: it lies in the instance and is lost with it, at each deploy at the latest. Use a database server for what has to last.',
  )
  // The file is the instance's own: only there can it be migrated.
  return { framework: 'Django', process: 'web', command: `${migrate} && exec ${server}` }
}

async function applicationStart(
  application: PythonApplication,
  { installed, findings }: StartInputs,
): Promise<PythonStart> {
  const { framework, kind, path, object, isFactory, module, root, runs } = application
  const server = { target: `${module}:${object}`, root, isFactory }
  const command = kind === 'asgi' ? asgiCommand(installed, server) : wsgiCommand(installed, server)
  const what = isFactory
    ? `${path} has ${object}(), which makes a ${framework} application`
    : `${path} has ${object}, a ${framework} application`
  if (command !== undefined) {
    findings.found(`start: ${command}`, what)
    return { framework, process: 'web', command }
  }
  if (framework === 'Flask' || framework === 'APIFlask') {
    findings.warn('Flask’s own server is meant for development: add gunicorn to the dependencies, and it is used.')
    const target = isFactory ? `${server.target}()` : server.target
    const at = root === '.' ? '' : `PYTHONPATH=${root} `
    const run = `${at}FLASK_APP='${target}' flask run --host 0.0.0.0 --port $PORT`
    findings.found(`start: ${run}`, what)
    return { framework, process: 'web', command: run }
  }
  if (runs) {
    findings.found(`start: python ${path}`, `${what} and starts it`)
    return { framework, process: 'web', command: `python ${path}` }
  }
  const needed = kind === 'asgi' ? 'uvicorn' : 'gunicorn'
  throw new AppError(
    'nothing_to_run',
    `${what}, but no server for it is among the dependencies. Add ${needed}, or say how it starts (--start).`,
  )
}

interface Served {
  /** `module:object` */
  target: string
  /** Folder the module is imported from. */
  root: string
  isFactory: boolean
}

/** By the servers that are installed, the usual ones first. */
function asgiCommand(installed: ReadonlySet<string>, { target, root, isFactory }: Served): string | undefined {
  const at = (option: string) => (root === '.' ? '' : `${option} ${root} `)
  const factory = isFactory ? '--factory ' : ''
  if (hasUvicorn(installed)) return `uvicorn ${at('--app-dir')}${factory}${target} --host 0.0.0.0 --port $PORT`
  const environment = root === '.' ? '' : `PYTHONPATH=${root} `
  if (installed.has('hypercorn'))
    return `${environment}hypercorn --bind 0.0.0.0:$PORT ${isFactory ? `'${target}()'` : target}`
  if (installed.has('daphne') && !isFactory) return `${environment}daphne -b 0.0.0.0 -p $PORT ${target}`
  if (installed.has('granian'))
    return `${environment}granian --interface asgi --host 0.0.0.0 --port $PORT ${factory}${target}`
  return undefined
}

/** These bring uvicorn with them. */
const bringUvicorn = [
  'uvicorn',
  'fastapi[standard]',
  'fastapi[all]',
  'fastapi-cli',
  'litestar[standard]',
  'uvicorn-worker',
]

function hasUvicorn(installed: ReadonlySet<string>): boolean {
  return bringUvicorn.some(name => installed.has(name))
}

function wsgiCommand(installed: ReadonlySet<string>, { target, root, isFactory }: Served): string | undefined {
  const object = isFactory ? `'${target}()'` : target
  if (installed.has('gunicorn'))
    return `gunicorn ${root === '.' ? '' : `--pythonpath ${root} `}--bind 0.0.0.0:$PORT ${object}`
  const environment = root === '.' ? '' : `PYTHONPATH=${root} `
  if (installed.has('waitress'))
    return `${environment}waitress-serve --listen=0.0.0.0:$PORT ${isFactory ? `--call ${target}` : target}`
  return undefined
}

async function streamlitStart({ files, findings }: StartInputs): Promise<PythonStart | undefined> {
  for (const path of pythonSources(files)) {
    const source = await readSource(files, path)
    if (source === undefined || !/^(?:import|from)[ \t]+streamlit\b/m.test(source)) continue
    const command = `streamlit run ${path} --server.address 0.0.0.0 --server.port $PORT --server.headless true`
    findings.found(`start: ${command}`, `${path} imports streamlit`)
    return { framework: 'Streamlit', process: 'web', command }
  }
  return undefined
}

/** Words of programs that take requests. */
const listens =
  /\b(?:http\.server|socketserver|HTTPServer|aiohttp|tornado|sanic|cherrypy|gradio|dash|nicegui|falcon|uvicorn|werkzeug|wsgiref|twisted|asyncio\.start_server|socket|grpc|serve|PORT)\b/

async function scriptStart({ files, pyproject, findings }: StartInputs): Promise<PythonStart | undefined> {
  const entry = [...pythonEntries, ...pythonEntries.map(name => `src/${name}`)].find(path => files.has(path))
  if (entry !== undefined) {
    const process = await processOf(files, entry)
    findings.found(
      `start: python ${entry}`,
      process === 'web' ? `${entry} is there` : `${entry} is there; a bot takes no requests: it runs as a worker`,
    )
    return { process, command: `python ${entry}` }
  }
  const scripts = Object.keys({
    ...tableAt(pyproject, 'project', 'scripts'),
    ...tableAt(pyproject, 'tool', 'poetry', 'scripts'),
  })
  const [script] = scripts
  if (scripts.length === 1 && script !== undefined && /^[\w.-]+$/.test(script)) {
    findings.found(`start: ${script}`, 'it is the only script of pyproject.toml')
    return { process: 'web', command: script }
  }
  if (scripts.length > 1)
    findings.noted(`pyproject.toml has several scripts (${scripts.slice(0, 10).join(', ')}): say which with --start`)
  const packages = files.paths.filter(path => /^(?:src\/)?\w+\/__main__\.py$/.test(path))
  const [main] = packages
  if (packages.length !== 1 || main === undefined) return undefined
  const folder = main.slice(0, -'/__main__.py'.length)
  const command = folder.startsWith('src/') ? `PYTHONPATH=src python -m ${folder.slice(4)}` : `python -m ${folder}`
  findings.found(`start: ${command}`, `${main} is there`)
  return { process: 'web', command }
}

async function processOf(files: ProjectFiles, entry: string): Promise<PythonStart['process']> {
  if (!entry.endsWith('bot.py')) return 'web'
  const source = (await readSource(files, entry)) ?? ''
  return listens.test(source) ? 'web' : 'worker'
}
