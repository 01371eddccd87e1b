/** Package managers as layers: `usr/local/bin/<name>` and what belongs to it, over a toolchain. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { PackageManager } from '@coderunner/runtime'
import semver from 'semver'
import { buildOnce } from './build-once.ts'
import type { PackageFetch } from './package-fetch.ts'
import { openBelow } from './plain-tree.ts'
import { linkPrograms, makeLocal, npmPrograms, takePackage } from './toolchain.ts'

const LAYOUT_VERSION = 1
/** Apart from the toolchain's npm: overlaid directories would mix. */
const HOME = 'lib/package-manager'
const MANIFEST_BYTES = 1024 ** 2

interface Source {
  package: string
  /** By the name in `bin`; those of the package's manifest when absent. */
  programs?: Readonly<Record<string, string>>
}

/**
 * @returns path of the layer, fetched once a machine
 * @throws AppError `nothing_to_run` when there is no such version, `unavailable` when it could not be fetched
 */
export async function ensurePackageManager(
  options: { cacheDir: string; fetch: PackageFetch },
  manager: PackageManager,
): Promise<string> {
  const { name, version } = manager
  const source = sources[name](semver.major(version))
  const digest = createHash('sha256')
    .update(JSON.stringify([LAYOUT_VERSION, process.arch, source]))
    .digest('hex')
    .slice(0, 12)
  const path = join(options.cacheDir, 'toolchain', `package-manager-${name}-${version}-${digest}`)
  await buildOnce(path, async temporaryPath => {
    const local = await makeLocal(temporaryPath)
    const packages = [{ name: source.package, version }]
    const order = { directory: temporaryPath, packages, subject: `${name} ${version}` }
    await options.fetch.fetch(order, fetched => takePackage(fetched, source.package, join(local, HOME)))
    await linkPrograms(local, HOME, source.programs ?? (await programsOf(local)))
  })
  return path
}

const sources: Readonly<Record<PackageManager['name'], (major: number) => Source>> = {
  npm: () => ({ package: 'npm', programs: npmPrograms }),
  pnpm: major =>
    major < 12 ? { package: 'pnpm' } : { package: `@pnpm/exe.linux-${process.arch}`, programs: { pnpm: 'pnpm' } },
  // The first Yarn's package only hands over to later ones.
  yarn: major =>
    major < 2
      ? { package: 'yarn' }
      : { package: '@yarnpkg/cli-dist', programs: { yarn: 'bin/yarn.js', yarnpkg: 'bin/yarn.js' } },
  bun: () => ({ package: bunPackage(), programs: { bun: 'bin/bun', bunx: 'bin/bun' } }),
}

function bunPackage(): string {
  if (process.arch === 'arm64') return '@oven/bun-linux-aarch64'
  const isModern = /^flags\s*:.*\bavx2\b/m.test(readFileSync('/proc/cpuinfo', 'utf8'))
  return isModern ? '@oven/bun-linux-x64' : '@oven/bun-linux-x64-baseline'
}

/** As the package says, as far as it names files of its own. */
async function programsOf(local: string): Promise<Record<string, string>> {
  using file = openBelow(join(local, HOME), ['package.json'])
  if (!file.stats.isFile() || file.stats.size > MANIFEST_BYTES) throw new Error('package.json is no manifest')
  const { bin } = JSON.parse(await readFile(file.path, 'utf8')) as { bin?: unknown }
  const named = typeof bin === 'object' && bin !== null ? Object.entries(bin) : []
  const programs = named.flatMap(([name, path]): [string, string][] => {
    const inner = posix.normalize(String(path))
    const isOwn = !inner.startsWith('..') && !inner.startsWith('/')
    return isOwn && /^[a-z][\w.-]*$/i.test(name) ? [[name, inner]] : []
  })
  return Object.fromEntries(programs)
}
