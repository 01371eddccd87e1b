/**
 * How a Node project is built. Packages are installed from the manifests alone; the project's own scripts run in the build,
 * over its source, each time.
 */
import type { api } from '@coderunner/contract'
import { argvOf, plainWords } from '../analysis/command-line.ts'
import { frameworks } from '../analysis/frameworks.ts'
import { neededToRun } from '../analysis/node-start.ts'
import { installScripts, type PackageJson, parsePackageJson, withoutScripts } from '../analysis/package-json.ts'
import {
  installCommand,
  isBerry,
  isLockOutOfSync,
  type Manager,
  pruneCommand,
  scriptCommand,
} from '../analysis/package-manager-commands.ts'
import type { PackageManagerName } from '../analysis/software-versions.ts'
import { readWorkspaces, type Workspaces } from '../analysis/workspaces.ts'
import { usesPlugAndPlay, yarnLinker } from '../analysis/yarn-settings.ts'
import type { SourceTree } from '../sources/source-tree.ts'
import type { BuildCommand, BuildRecipe, DependencyRecipe, ReadText } from './build-recipe.ts'
import { installPaths, registryOf, variablesIn } from './node-manifests.ts'
import { npmPrune } from './npm-prune.ts'
import { registryWords } from './registry-environment.ts'

export async function nodeRecipe(detection: api.Detection, tree: SourceTree, read: ReadText): Promise<BuildRecipe> {
  const paths = new Set(tree.map(entry => entry.path))
  const files = { paths: [...paths], has: (path: string) => paths.has(path), read }
  const manager: Manager = {
    name: (detection.packageManager ?? 'npm') as PackageManagerName,
    version: detection.packageManagerVersion,
  }
  const { nodeVersion } = detection
  const software: BuildRecipe['software'] = {
    ...(nodeVersion === undefined ? {} : { nodeVersion }),
    ...(manager.name === 'npm' || manager.version === undefined
      ? {}
      : { packageManager: { name: manager.name, version: manager.version } }),
  }
  const text = await read('package.json')
  if (text === undefined) return { software, build: commandsOf(detection.build, {}), prune: [] }

  const json = parsePackageJson(text)
  const workspaces = await readWorkspaces(files)
  const part = workspaces?.members.find(({ folder }) => folder === detection.workspace)?.json ?? json
  const framework = frameworks.find(({ name }) => name === detection.framework)
  const environment = { ...quiet, ...(await settingsOf(manager, files)) }
  const command = (line: string): BuildCommand => ({ argv: argvOf(line), label: line, env: environment })
  const scripts = [
    ...(json.scripts['heroku-prebuild'] === undefined ? [] : ['heroku-prebuild']),
    ...installScripts.filter(name => json.scripts[name] !== undefined),
  ].map(name => command(scriptCommand(manager, name)))
  const build = commandsOf(detection.build, { ...environment, CI: 'true', ...framework?.buildEnvironment })
  const dependencies =
    detection.install === undefined
      ? undefined
      : await dependenciesOf({ install: detection.install, manager, files, environment, workspaces })
  const prune = prunes({ manager, json, part, workspaces, detection, dependencies })
  const cleanup = json.scripts['heroku-cleanup'] === undefined ? [] : [scriptCommand(manager, 'heroku-cleanup')]
  return {
    software,
    ...(dependencies === undefined ? {} : { dependencies }),
    build: [...scripts, ...lifecycleOf(workspaces, manager).map(command), ...build],
    prune: [...prune.map(line => (manager.name === 'npm' ? npmPrune : command(line))), ...cleanup.map(command)],
  }
}

/** What package managers write of themselves and ask of nobody. */
const quiet = {
  npm_config_update_notifier: 'false',
  npm_config_fund: 'false',
  npm_config_audit: 'false',
  npm_config_progress: 'false',
  COREPACK_ENABLE_STRICT: '0',
  YARN_ENABLE_TELEMETRY: '0',
  NEXT_TELEMETRY_DISABLED: '1',
  ASTRO_TELEMETRY_DISABLED: '1',
  NUXT_TELEMETRY_DISABLED: '1',
  NG_CLI_ANALYTICS: 'false',
}

/** In both words: later versions read the second only. */
const pnpmSettings = {
  npm_config_store_dir: '/tmp/pnpm-store',
  pnpm_config_store_dir: '/tmp/pnpm-store',
  // The version that was chosen is the one that runs: it fetches no other of itself.
  npm_config_manage_package_manager_versions: 'false',
  pnpm_config_manage_package_manager_versions: 'false',
  pnpm_config_pm_on_fail: 'ignore',
  npm_config_package_manager_strict: 'false',
}

/** Caches lie outside the application directory, so that no layer keeps them. */
async function settingsOf(
  manager: Manager,
  files: { has(path: string): boolean; read: ReadText },
): Promise<Record<string, string>> {
  if (manager.name === 'npm') return {}
  if (manager.name === 'pnpm') return pnpmSettings
  if (manager.name === 'bun') return { BUN_INSTALL_CACHE_DIR: '/tmp/bun-cache' }
  if (!isBerry(manager)) return { YARN_CACHE_FOLDER: '/tmp/yarn-cache' }
  const ownVersion = { YARN_IGNORE_PATH: '1' }
  if (await usesPlugAndPlay(files, manager)) return { ...ownVersion, YARN_ENABLE_GLOBAL_CACHE: 'false' }
  const linker = await yarnLinker(files)
  const cache = { YARN_ENABLE_GLOBAL_CACHE: 'true', YARN_GLOBAL_FOLDER: '/tmp/yarn-berry' }
  return { ...ownVersion, ...cache, ...(linker === undefined ? { YARN_NODE_LINKER: 'node-modules' } : {}) }
}

async function dependenciesOf(inputs: {
  install: string
  manager: Manager
  files: { paths: readonly string[]; has(path: string): boolean; read: ReadText }
  environment: Readonly<Record<string, string>>
  workspaces: Workspaces | undefined
}): Promise<DependencyRecipe> {
  const { install, manager, files, environment } = inputs
  const installed = await installPaths(files)
  const replace: Record<string, string> = {}
  for (const path of installed) {
    if (path !== 'package.json' && !path.endsWith('/package.json')) continue
    const text = await files.read(path)
    if (text !== undefined) replace[path] = withoutScripts(text, path)
  }
  const registry = await registryOf(files)
  const env = { ...environment, CI: 'true', ...(registry === undefined ? {} : registryWords(registry)) }
  const frozen = /^npm ci\b|--frozen-lockfile|--immutable/.test(install)
  const production = /--omit=dev|--prod\b|--production/.test(install)
  const instead = installCommand(manager, { frozen: false, production })
  return {
    files: installed,
    replace,
    install: [{ argv: argvOf(install), label: install, env }],
    ...(frozen
      ? {
          fallback: {
            when: lines => isLockOutOfSync(manager, lines),
            warning: `The lock file does not fit package.json: installing without it. Run ${manager.name} install and commit the lock file.`,
            install: [{ argv: argvOf(instead), label: instead, env }],
          },
        }
      : {}),
    variables: await variablesIn(files),
    key: [manager.name, manager.version ?? ''],
  }
}

/** A build's commands one by one where each is plain, so that the log and a failure name the one. */
function commandsOf(build: string | undefined, env: Readonly<Record<string, string>>): BuildCommand[] {
  if (build === undefined) return []
  const pieces = build.split(' && ')
  const plain = pieces.every(piece => plainWords(piece) !== undefined && !/^(?:cd|export|set) /.test(piece))
  return (plain ? pieces : [build]).map(piece => ({ argv: argvOf(piece), label: piece, env }))
}

/** Scripts that an install runs in the workspaces, which saw no source while it did. */
function lifecycleOf(workspaces: Workspaces | undefined, manager: Manager): string[] {
  return (workspaces?.members ?? []).flatMap(({ folder, json }) =>
    installScripts.filter(name => json.scripts[name] !== undefined).map(name => scriptCommand(manager, name, folder)),
  )
}

function prunes(inputs: {
  manager: Manager
  json: PackageJson
  part: PackageJson
  workspaces: Workspaces | undefined
  detection: api.Detection
  dependencies: DependencyRecipe | undefined
}): string[] {
  const { manager, json, part, workspaces, detection, dependencies } = inputs
  // Of several packages installed together, not every package manager can say what one of them needs.
  if (dependencies === undefined || (workspaces !== undefined && manager.name !== 'npm')) return []
  if (Object.keys(json.devDependencies).length === 0 && workspaces === undefined) return []
  if (dependencies.install.some(({ label = '' }) => /--omit=dev|--prod\b|--production/.test(label))) return []
  if (neededToRun(part, detection.processes) !== undefined) return []
  const command = pruneCommand(manager)
  return command === undefined ? [] : [command]
}
