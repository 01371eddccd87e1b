/** The words of each package manager for the same things. Pure. */
import type { PackageManagerName } from './software-versions.ts'

export interface Manager {
  name: PackageManagerName
  /** Exact; undefined for npm, which comes with Node. */
  version: string | undefined
}

/** Yarn 2 and later is another program than Yarn 1. */
export function isBerry({ name, version }: Manager): boolean {
  return name === 'yarn' && version !== undefined && !/^[01]\./.test(version)
}

export function installCommand(manager: Manager, options: { frozen: boolean; production: boolean }): string {
  const { frozen, production } = options
  const when = (holds: boolean, word: string) => (holds ? ` ${word}` : '')
  const commands: Record<PackageManagerName | 'berry', string> = {
    npm: `npm ${frozen ? 'ci' : 'install'}${when(production, '--omit=dev')}`,
    pnpm: `pnpm install ${frozen ? '--frozen-lockfile' : '--no-frozen-lockfile'}${when(production, '--prod')}`,
    yarn: `yarn install${when(frozen, '--frozen-lockfile')}${when(production, '--production')}`,
    berry: `yarn install ${frozen ? '--immutable' : '--no-immutable'}`,
    bun: `bun install${when(frozen, '--frozen-lockfile')}${when(production, '--production')}`,
  }
  return commands[isBerry(manager) ? 'berry' : manager.name]
}

/** Takes out what only the build needed; undefined where the package manager cannot. */
export function pruneCommand(manager: Manager): string | undefined {
  if (isBerry(manager))
    return /^[23]\./.test(manager.version ?? '') ? undefined : 'yarn workspaces focus --all --production'
  const commands: Record<PackageManagerName, string> = {
    npm: 'npm prune --omit=dev --ignore-scripts',
    pnpm: 'pnpm prune --prod --ignore-scripts',
    yarn: 'yarn install --production --ignore-scripts --frozen-lockfile --prefer-offline',
    bun: 'bun install --production --ignore-scripts --frozen-lockfile',
  }
  return commands[manager.name]
}

/** Runs a script of the package.json in `folder`, or in the folder one is in. */
export function scriptCommand({ name }: Manager, script: string, folder?: string): string {
  if (folder === undefined) return name === 'npm' && script === 'start' ? 'npm start' : `${name} run ${script}`
  const at = quoted(folder)
  const commands: Record<PackageManagerName, string> = {
    npm: `npm run ${script} --workspace ${at}`,
    pnpm: `pnpm --dir ${at} run ${script}`,
    yarn: `yarn --cwd ${at} run ${script}`,
    bun: `bun run --cwd ${at} ${script}`,
  }
  return commands[name]
}

/** Runs a program that a dependency brings. */
export function programCommand({ name }: Manager, command: string): string {
  const runner = { npm: 'npx --no-install', pnpm: 'pnpm exec', yarn: 'yarn run', bun: 'bun run' }[name]
  return `${runner} ${command}`
}

/** Says that an install failed because the lock file does not fit package.json. */
const outOfSync: Readonly<Record<PackageManagerName, RegExp>> = {
  npm: /npm (?:error|ERR!) code EUSAGE[\s\S]*(?:in sync|package-lock\.json|npm-shrinkwrap)/,
  pnpm: /ERR_PNPM_(?:OUTDATED_LOCKFILE|FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE|LOCKFILE_CONFIG_MISMATCH|LOCKFILE_BREAKING_CHANGE|NO_LOCKFILE)/,
  yarn: /Your lockfile needs to be updated|YN0028|lockfile would have been (?:modified|created)/,
  bun: /lockfile is frozen/,
}

/** Whether an install failed only because the lock file does not fit package.json. */
export function isLockOutOfSync({ name }: Pick<Manager, 'name'>, lines: readonly string[]): boolean {
  return outOfSync[name].test(lines.join('\n'))
}

/** A path as a word of a command that means the same with and without a shell. */
export function quoted(path: string): string {
  return /^[A-Za-z0-9_./@-]+$/.test(path) ? path : `"${path}"`
}
