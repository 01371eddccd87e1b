/** Node and npm as a layer over the base image, and package managers as layers over that. */
import { createHash } from 'node:crypto'
import { chmod, constants, copyFile, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { AppError } from '@coderunner/contract'
import { openPathHandle, type PathHandle } from '../kernel/path-handle.ts'
import { buildOnce } from './build-once.ts'
import { npmForNode, OLDEST_NODE, type PinnedNpm } from './npm-for-node.ts'
import type { FetchedPackages, PackageFetch } from './package-fetch.ts'
import { copyPlainFile, copyPlainTree, makeDirectory, openBelow } from './plain-tree.ts'

const LAYOUT_VERSION = 3
const NPM_HOME = 'lib/node_modules/npm'
const HEADERS = 'include/node'

export interface Toolchain {
  /**
   * To be laid over the base image: `usr/local/bin/{node,npm,npx}` and what belongs to them, and Node's headers in
   * `usr/local/include/node`. Never write there.
   */
  path: string
  nodeVersion: string
  npmVersion: string
}

/** The Node this process runs on, and the npm that this package depends on, as a layer. Takes about 0.3 s once. */
export async function ensureToolchain(options: { cacheDir: string }): Promise<Toolchain> {
  const npm = await pinnedNpm()
  const nodeVersion = process.versions.node
  const path = toolchainPath(options.cacheDir, { nodeVersion, npmVersion: npm.version })
  await buildOnce(path, async temporaryPath => {
    const local = await makeLocal(temporaryPath)
    await copy(process.execPath, join(local, 'bin/node'), 0o755)
    await copyHeaders(dirname(dirname(process.execPath)), local)
    await copyTree(npm.path, join(local, NPM_HOME))
    await linkPrograms(local, NPM_HOME, npmPrograms)
  })
  return { path, nodeVersion, npmVersion: npm.version }
}

/**
 * Another Node, fetched once a machine, with the newest npm that runs on it.
 * @throws AppError `nothing_to_run` when there is no such version, `unavailable` when it could not be fetched
 */
export async function ensureNode(
  options: { cacheDir: string; fetch: PackageFetch },
  nodeVersion: string,
): Promise<Toolchain> {
  const pinned = await pinnedNpm()
  if (nodeVersion === process.versions.node) return ensureToolchain(options)
  const npmVersion = npmForNode(nodeVersion, pinned)
  if (npmVersion === undefined) {
    throw new AppError('nothing_to_run', `Node ${nodeVersion} is too old: the oldest that runs here is ${OLDEST_NODE}.`)
  }
  const path = toolchainPath(options.cacheDir, { nodeVersion, npmVersion })
  const nodePackage = `node-linux-${process.arch}`
  const isPinned = npmVersion === pinned.version
  await buildOnce(path, async temporaryPath => {
    const local = await makeLocal(temporaryPath)
    const packages = [{ name: nodePackage, version: nodeVersion }]
    if (!isPinned) packages.push({ name: 'npm', version: npmVersion })
    const order = { directory: temporaryPath, packages, subject: `Node ${nodeVersion}` }
    await options.fetch.fetch(order, async fetched => {
      await takeNode(fetched, nodePackage, local)
      if (!isPinned) await takePackage(fetched, 'npm', join(local, NPM_HOME))
    })
    if (isPinned) await copyTree(pinned.path, join(local, NPM_HOME))
    await linkPrograms(local, NPM_HOME, npmPrograms)
  })
  return { path, nodeVersion, npmVersion }
}

export const npmPrograms = { npm: 'bin/npm-cli.js', npx: 'bin/npx-cli.js' }

/** Links programs of a package into `bin`; `home` is relative to `local`. */
export async function linkPrograms(
  local: string,
  home: string,
  programs: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, script] of Object.entries(programs)) {
    using file = openBelow(local, join(home, script).split('/'))
    if (!file.stats.isFile()) throw new Error(`${script} is no plain file`)
    await chmod(file.path, 0o755)
    await symlink(join('..', home, script), join(local, 'bin', name))
  }
}

/** `usr/local` with an empty `bin`, below a directory that is made too. */
export async function makeLocal(path: string): Promise<string> {
  for (const directory of ['', 'usr', 'usr/local', 'usr/local/bin', 'usr/local/lib']) {
    await makeDirectory(join(path, directory))
  }
  return join(path, 'usr/local')
}

export async function takePackage(fetched: FetchedPackages, name: string, target: string): Promise<void> {
  await makeDirectory(dirname(target))
  using source = fetched.open(name)
  await copyPlainTree(source, target)
}

async function takeNode(fetched: FetchedPackages, name: string, local: string): Promise<void> {
  using source = fetched.open(name)
  {
    using program = openBelow(source, ['bin', 'node'])
    await copyPlainFile(program, join(local, 'bin/node'), 0o755)
  }
  await copyHeaders(source, local)
}

/** What native addons are compiled against. A package of the early ones may lack them. */
async function copyHeaders(node: string | PathHandle, local: string): Promise<void> {
  let source: PathHandle
  try {
    source = openBelow(node, HEADERS.split('/'))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return
    throw error
  }
  using headers = source
  await makeDirectory(dirname(join(local, HEADERS)))
  await copyPlainTree(headers, join(local, HEADERS), { isWanted: isHeaderOfThisMachine })
}

/** OpenSSL's come for sixty kinds of machine, nine tenths of all. */
function isHeaderOfThisMachine(path: string): boolean {
  const machine = /^openssl\/archs\/([^/]+)$/.exec(path)?.[1]
  return machine === undefined || machine === (process.arch === 'arm64' ? 'linux-aarch64' : 'linux-x86_64')
}

function toolchainPath(
  cacheDir: string,
  { nodeVersion, npmVersion }: { nodeVersion: string; npmVersion: string },
): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([LAYOUT_VERSION, process.arch, nodeVersion, npmVersion]))
    .digest('hex')
    .slice(0, 12)
  return join(cacheDir, 'toolchain', `node-${nodeVersion}-${digest}`)
}

async function pinnedNpm(): Promise<PinnedNpm & { path: string }> {
  const manifest = createRequire(import.meta.url).resolve('npm/package.json')
  const { version, engines } = JSON.parse(await readFile(manifest, 'utf8')) as {
    version: string
    engines: { node: string }
  }
  return { path: dirname(manifest), version, node: engines.node }
}

/** Of our own files. Everyone may read the copy, whatever the umask and the modes of what it comes from. */
async function copyTree(source: string, target: string): Promise<void> {
  using handle = openPathHandle(source)
  await makeDirectory(dirname(target))
  await copyPlainTree(handle, target)
}

async function copy(source: string, target: string, mode: number): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_FICLONE)
  await chmod(target, mode)
}
