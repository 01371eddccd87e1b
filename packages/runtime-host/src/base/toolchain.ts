import { createHash } from 'node:crypto'
import { chmod, constants, copyFile, mkdir, readdir, readFile, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { buildOnce } from './build-once.ts'

const LAYOUT_VERSION = 2

export interface Toolchain {
  /** To be laid over the base image: `usr/local/bin/{node,npm,npx}` and what belongs to them. Never write there. */
  path: string
  nodeVersion: string
  npmVersion: string
}

/** The Node this process runs on, and the npm that this package depends on, as a layer. Takes about 0.3 s once. */
export async function ensureToolchain(options: { cacheDir: string }): Promise<Toolchain> {
  const npmManifest = createRequire(import.meta.url).resolve('npm/package.json')
  const { version: npmVersion } = JSON.parse(await readFile(npmManifest, 'utf8')) as { version: string }
  const nodeVersion = process.versions.node
  const digest = createHash('sha256')
    .update(JSON.stringify([LAYOUT_VERSION, process.arch, nodeVersion, npmVersion]))
    .digest('hex')
    .slice(0, 12)
  const path = join(options.cacheDir, 'toolchain', `node-${nodeVersion}-${digest}`)
  await buildOnce(path, async temporaryPath => {
    const local = join(temporaryPath, 'usr/local')
    for (const directory of ['.', 'usr', 'usr/local', 'usr/local/bin', 'usr/local/lib', 'usr/local/lib/node_modules']) {
      await makeDirectory(join(temporaryPath, directory))
    }
    await copy(process.execPath, join(local, 'bin/node'), 0o755)
    await copyTree(dirname(npmManifest), join(local, 'lib/node_modules/npm'))
    for (const name of ['npm', 'npx']) {
      const script = `lib/node_modules/npm/bin/${name}-cli.js`
      await chmod(join(local, script), 0o755)
      await symlink(`../${script}`, join(local, 'bin', name))
    }
  })
  return { path, nodeVersion, npmVersion }
}

/** Everyone may read it, whatever the umask and the modes of the copy it comes from. */
async function copyTree(source: string, target: string): Promise<void> {
  await makeDirectory(target)
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const from = join(source, entry.name)
    const to = join(target, entry.name)
    if (entry.isDirectory()) await copyTree(from, to)
    else if (entry.isFile()) await copy(from, to, ((await stat(from)).mode & 0o100) === 0 ? 0o644 : 0o755)
  }
}

async function copy(source: string, target: string, mode: number): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_FICLONE)
  await chmod(target, mode)
}

async function makeDirectory(path: string): Promise<void> {
  await mkdir(path)
  await chmod(path, 0o755)
}
