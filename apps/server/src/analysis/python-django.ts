/** What a Django project says of itself: where manage.py is, its settings, its server entries. */
import { posix } from 'node:path'
import type { ProjectFiles } from './project-files.ts'
import { readSource } from './python-application.ts'

export interface DjangoProject {
  /** Such as `backend/manage.py`. */
  manage: string
  /** Its folder; `.` is the project itself. */
  root: string
  /** Such as `shop.wsgi:application`; undefined when there is none. */
  wsgi: string | undefined
  asgi: string | undefined
  /** ASGI_APPLICATION is set: it is meant to be served so. */
  prefersAsgi: boolean
  /** The settings name a folder that static files are collected in. */
  collectsStatic: boolean
  /** The database is a file of the instance's own, at least while nothing else is configured. */
  usesSqlite: boolean
}

const maxDepth = 3

export async function findDjango(files: ProjectFiles): Promise<DjangoProject | undefined> {
  const candidates = files.paths
    .filter(path => posix.basename(path) === 'manage.py' && path.split('/').length <= maxDepth)
    .toSorted((a, b) => a.split('/').length - b.split('/').length || (a < b ? -1 : 1))
  for (const manage of candidates) {
    const source = await readSource(files, manage)
    // Flask-Script and others have a manage.py too.
    if (source === undefined || !/\bdjango\b|DJANGO_SETTINGS_MODULE/.test(source)) continue
    return describe(files, manage, source)
  }
  return undefined
}

async function describe(files: ProjectFiles, manage: string, source: string): Promise<DjangoProject> {
  const root = posix.dirname(manage)
  const settings = await settingsText(files, root, source)
  return {
    manage,
    root,
    wsgi: entryOf(files, root, settings, 'wsgi'),
    asgi: entryOf(files, root, settings, 'asgi'),
    prefersAsgi: /^ASGI_APPLICATION\s*=/m.test(settings),
    collectsStatic: /^\s*STATIC_ROOT\s*=/m.test(settings) || /\bSTATIC_ROOT\b/.test(settings),
    usesSqlite: /django\.db\.backends\.sqlite3|sqlite:\/\//.test(settings),
  }
}

/** All files of the settings module together: production settings import those they are based on. */
async function settingsText(files: ProjectFiles, root: string, source: string): Promise<string> {
  const module = /DJANGO_SETTINGS_MODULE["']\s*[,\]]\s*=?\s*["']([\w.]+)["']/.exec(source)?.[1]
  const path = module === undefined ? undefined : below(root, module.replaceAll('.', '/'))
  const paths =
    path === undefined
      ? files.paths.filter(candidate => candidate.endsWith('/settings.py')).slice(0, 3)
      : files.paths.filter(
          candidate =>
            candidate === `${path}.py` ||
            (candidate.endsWith('.py') &&
              [path, posix.dirname(path)].some(
                folder => /(?:^|\/)settings$/.test(folder) && posix.dirname(candidate) === folder,
              )),
        )
  const texts = await Promise.all(paths.slice(0, 10).map(candidate => readSource(files, candidate)))
  return texts.map(text => (text ?? '').replaceAll(/^\s*#.*$/gm, '')).join('\n')
}

/** What the settings name, else the only file of that name near manage.py. */
function entryOf(files: ProjectFiles, root: string, settings: string, kind: 'wsgi' | 'asgi'): string | undefined {
  const named = new RegExp(`^${kind.toUpperCase()}_APPLICATION\\s*=\\s*["']([\\w.]+)\\.(\\w+)["']`, 'm').exec(settings)
  if (named !== null && files.has(`${below(root, (named[1] as string).replaceAll('.', '/'))}.py`))
    return `${named[1]}:${named[2]}`
  const prefix = root === '.' ? '' : `${root}/`
  const found = files.paths
    .filter(path => path.startsWith(prefix) && posix.basename(path) === `${kind}.py`)
    .toSorted((a, b) => a.split('/').length - b.split('/').length || (a < b ? -1 : 1))[0]
  if (found === undefined) return undefined
  return `${found.slice(prefix.length, -3).replaceAll('/', '.')}:application`
}

function below(root: string, path: string): string {
  return root === '.' ? path : `${root}/${path}`
}
