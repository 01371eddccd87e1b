/** Which files of a Node project decide what an install brings, and what their settings say. */
import { posix } from 'node:path'
import { parsePackageJson } from '../analysis/package-json.ts'
import type { ReadText } from './build-recipe.ts'

interface Files {
  paths: readonly string[]
  read: ReadText
}

/** Anywhere in the tree. */
const names = new Set(['package.json', '.npmrc', 'pnpm-lock.yaml'])
/** At its top. */
const topNames = new Set([
  'package-lock.json',
  'npm-shrinkwrap.json',
  'pnpm-workspace.yaml',
  '.pnpmfile.cjs',
  '.pnpmfile.mjs',
  'pnpmfile.js',
  'yarn.lock',
  '.yarnrc',
  '.yarnrc.yml',
  'yarn.config.cjs',
  'bun.lock',
  'bun.lockb',
  'bunfig.toml',
])
/** Everything below these. */
const folders = ['patches/', '.yarn/patches/', '.yarn/releases/', '.yarn/plugins/', '.yarn/cache/', '.yarn/versions/']

/** Manifests, lock files, settings, patches, packages that lie in the project, and schemas that an install compiles. */
export async function installPaths({ paths, read }: Files): Promise<string[]> {
  const local = await localPackages({ paths, read })
  return paths.filter(path => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    return (
      names.has(name) ||
      topNames.has(path) ||
      // Prisma's client is made from it while it is installed.
      name.endsWith('.prisma') ||
      folders.some(folder => path.startsWith(folder)) ||
      local.some(target => path === target || path.startsWith(`${target}/`))
    )
  })
}

/** `"x": "file:./vendor/x.tgz"`: what such dependencies name. */
async function localPackages({ paths, read }: Files): Promise<string[]> {
  const found: string[] = []
  for (const path of paths) {
    if (path !== 'package.json' && !path.endsWith('/package.json')) continue
    const text = await read(path)
    if (text === undefined) continue
    const { dependencies, devDependencies } = parsePackageJson(text, path)
    for (const range of Object.values({ ...dependencies, ...devDependencies })) {
      const target = /^(?:file|portal):(.+)$/.exec(range)?.[1]
      if (target === undefined) continue
      const resolved = posix.normalize(posix.join(posix.dirname(path), target)).replace(/\/+$/, '')
      if (resolved !== '.' && !resolved.startsWith('..')) found.push(resolved)
    }
  }
  return found
}

const settings = ['.npmrc', '.yarnrc', '.yarnrc.yml', 'bunfig.toml']

/** Names of the variables that settings take, such as `${NPM_TOKEN}`. */
export async function variablesIn({ read }: Pick<Files, 'read'>): Promise<string[]> {
  const texts = await Promise.all(settings.map(async path => (await read(path)) ?? ''))
  const found = texts.join('\n').matchAll(/\$\{?([A-Za-z_][A-Za-z0-9_]*)[^}\n]*\}?/g)
  return [...new Set([...found].map(match => match[1] ?? ''))].sort()
}

const ownRegistry: Readonly<Record<string, RegExp>> = {
  '.npmrc': /^[^\S\n]*registry[^\S\n]*=[^\S\n]*["']?(https?:\/\/[^\s"'$]+)["']?[^\S\n]*$/m,
  '.yarnrc.yml': /^npmRegistryServer:[^\S\n]*["']?(https?:\/\/[^\s"'$]+)["']?[^\S\n]*$/m,
  'bunfig.toml': /^[^\S\n]*registry[^\S\n]*=[^\S\n]*["'](https?:\/\/[^\s"'$]+)["'][^\S\n]*$/m,
}

/** The project's own registry, which comes before the machine's. */
export async function registryOf({ read }: Pick<Files, 'read'>): Promise<string | undefined> {
  for (const [path, pattern] of Object.entries(ownRegistry)) {
    const registry = pattern.exec((await read(path)) ?? '')?.[1]
    if (registry !== undefined) return registry
  }
  return undefined
}
