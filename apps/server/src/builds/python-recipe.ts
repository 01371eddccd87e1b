/** How a Python project is built: pip fills an environment in the dependency layer, the rest runs over the source. */
import { arch } from 'node:os'
import type { api } from '@coderunner/contract'
import { argvOf } from '../analysis/command-line.ts'
import { projectFiles } from '../analysis/project-files.ts'
import { type PythonInstall, pythonDependencies } from '../analysis/python-dependencies.ts'
import { installCommands, lockedList, virtualEnvironment } from '../analysis/python-install.ts'
import { readToml } from '../analysis/python-manifest.ts'
import { sandboxPython } from '../analysis/python-version.ts'
import type { SourceTree } from '../sources/source-tree.ts'
import type { BuildCommand, BuildRecipe, DependencyRecipe } from './build-recipe.ts'

/** Where sandboxes have the application. */
const appDir = '/app'
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Of everything that runs Python: builds, instances, one-off commands. */
const pythonEnvironment: Readonly<Record<string, string>> = {
  PATH: `${appDir}/${virtualEnvironment}/bin:${searchPath}`,
  VIRTUAL_ENV: `${appDir}/${virtualEnvironment}`,
  // Else output waits in a buffer while people look at the log.
  PYTHONUNBUFFERED: '1',
  PYTHONFAULTHANDLER: '1',
  PYTHONDONTWRITEBYTECODE: '1',
  PYTHONIOENCODING: 'utf-8',
  PIP_DISABLE_PIP_VERSION_CHECK: '1',
}

/** What instances and one-off commands of a release get besides their own variables. */
export function runtimeEnvironment(detection: Pick<api.Detection, 'runtime'> | null): Readonly<Record<string, string>> {
  return detection?.runtime === 'python' ? pythonEnvironment : {}
}

/** One pip, the builder's own, works on the project's environment: making one with a pip in it takes seconds. */
const buildEnvironment: Readonly<Record<string, string>> = {
  ...pythonEnvironment,
  PIP_PYTHON: `${appDir}/${virtualEnvironment}/bin/python`,
  PIP_NO_INPUT: '1',
  PIP_PROGRESS_BAR: 'off',
  PIP_CERT: '/etc/ssl/certs/ca-certificates.crt',
}

/** The history that a version is worked out from is never uploaded. */
const ownVersion = {
  SETUPTOOLS_SCM_PRETEND_VERSION: '0.0.0',
  PDM_BUILD_SCM_VERSION: '0.0.0',
  POETRY_DYNAMIC_VERSIONING_BYPASS: '0.0.0',
}

/** Of the project's variables those that change what pip finds. */
const pipVariables = [
  'PIP_INDEX_URL',
  'PIP_EXTRA_INDEX_URL',
  'PIP_TRUSTED_HOST',
  'PIP_FIND_LINKS',
  'PIP_NO_INDEX',
  'PIP_NO_BINARY',
  'PIP_ONLY_BINARY',
  'PIP_PREFER_BINARY',
  'PIP_PRE',
  'PIP_DEFAULT_TIMEOUT',
  'PIP_RETRIES',
]

/** `architecture` as Node names it: a lock holds other packages for other machines. */
export async function pythonRecipe(
  { build }: api.Detection,
  tree: SourceTree,
  read: (path: string) => Promise<string | undefined>,
  architecture: string = arch(),
): Promise<BuildRecipe> {
  const paths = tree.map(({ path }) => path)
  const files = projectFiles(paths, async path => {
    const text = await read(path)
    return text === undefined ? undefined : Buffer.from(text)
  })
  const { install } = await pythonDependencies(files, await readToml(files, 'pyproject.toml'), architecture)
  return {
    software: {},
    dependencies: dependencyRecipe(install),
    build: build === undefined || build === '' ? [] : [buildCommand(build)],
    prune: [],
  }
}

function dependencyRecipe(install: PythonInstall): DependencyRecipe {
  const commands = installCommands(install)
  const shared = {
    install: commands.map(argv => ({ argv, env: buildEnvironment })),
    key: [sandboxPython, JSON.stringify(commands)],
    variables: pipVariables,
  }
  if (install.kind === 'requirements') {
    const { files, contents, variables } = install
    return { ...shared, files, replace: contents, variables: [...pipVariables, ...variables] }
  }
  if (install.kind === 'locked')
    return { ...shared, files: [install.file], replace: { [install.file]: lockedList(install.packages) } }
  return { ...shared, files: [] }
}

const collectStatic = /python \S*manage\.py collectstatic --noinput$/

function buildCommand(build: string): BuildCommand {
  const env = { ...buildEnvironment, ...ownVersion }
  const command = build.replace(
    collectStatic,
    found => `case "\${DISABLE_COLLECTSTATIC:-0}" in 0) ${found} ;; *) echo "collectstatic is left out" ;; esac`,
  )
  return { argv: argvOf(command), env, label: build }
}
