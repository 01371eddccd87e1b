/**
 * Compilers and headers as a layer over the base image: the difference that installing them there makes. What is compiled
 * with them runs in the base image, which has the libraries.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runInJail } from '../jail/jail.ts'
import { networkFiles } from '../jail/machine-files.ts'
import { SYSTEM_PATH, systemEnvironment } from '../kernel/system-programs.ts'
import { type BaseImage, BaseImageError } from './base-image.ts'
import { buildOnce } from './build-once.ts'

const execute = promisify(execFile)

/** Whatever changes here makes another layer. */
const recipe = {
  version: 1,
  packages: [
    'build-essential',
    'git',
    'openssh-client',
    'pkg-config',
    'python3-dev',
    'python3-pip',
    'python3-venv',
    // Headers that native addons and Python packages without a wheel ask for; the libraries are in the base image.
    'default-libmysqlclient-dev',
    'libbz2-dev',
    'libffi-dev',
    'libfreetype-dev',
    'libjpeg62-turbo-dev',
    'liblzma-dev',
    'libpng-dev',
    'libpq-dev',
    'libsqlite3-dev',
    'libssl-dev',
    'libwebp-dev',
    'libyaml-dev',
    'zlib1g-dev',
  ],
}

const INSTALL = `
  apt-get -q update
  apt-get -q install --yes --no-install-recommends "$@"
  apt-get clean
  find /var/lib/apt/lists /var/log /tmp -type f -delete
  rm -f /var/cache/apt/*.bin /var/cache/ldconfig/aux-cache
  find / -xdev -name __pycache__ -path '/usr/lib/python3/*' -prune -exec rm -r '{}' +`
const TIMEOUT_MS = 20 * 60_000

/**
 * Built once a machine, in about a minute, by whoever comes first; others wait for it.
 * @returns path of the layer, owned as the base image is. Never write there.
 */
export async function ensureBuilderImage(options: {
  cacheDir: string
  base: BaseImage
  signal: AbortSignal
  /** A line at a time, while it is being built. */
  onProgress?: (line: string) => void
}): Promise<string> {
  const { cacheDir, base, signal, onProgress = () => {} } = options
  const digest = createHash('sha256')
    .update(JSON.stringify([recipe, base.digest]))
    .digest('hex')
    .slice(0, 16)
  const path = join(cacheDir, 'builder', digest)
  const tree = (directory: string): string => join(directory, 'tree')
  await buildOnce(path, async temporaryPath => {
    const [root, work] = [join(temporaryPath, 'root'), join(temporaryPath, 'work')]
    for (const directory of [temporaryPath, tree(temporaryPath), work, root]) mkdirSync(directory, { mode: 0o755 })
    const begun = Date.now()
    onProgress(`Building the image for builds: ${recipe.packages.join(', ')}`)
    const { code, lastLines } = await runInJail({
      root,
      tree: { lower: [base.path], upper: tree(temporaryPath), work },
      binds: networkFiles(),
      cwd: '/',
      argv: ['/bin/sh', '-euc', INSTALL, 'sh', ...recipe.packages],
      env: { PATH: SYSTEM_PATH, DEBIAN_FRONTEND: 'noninteractive', ...(await archiveProxies()) },
      timeoutMs: TIMEOUT_MS,
      signal,
    })
    if (code !== 0) {
      throw new BaseImageError(
        'The image for builds could not be made: apt-get failed. It needs a Debian mirror (the distribution’s own, or ' +
          `through the proxy of apt's configuration). It said last:\n${lastLines.slice(-15).join('\n')}`,
      )
    }
    for (const directory of [root, work]) await rm(directory, { recursive: true })
    onProgress(`The image for builds is ready: ${Math.round((Date.now() - begun) / 1000)} s`)
  })
  return tree(path)
}

/** As the machine's own apt has them. */
async function archiveProxies(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const scheme of ['http', 'https']) {
    const { stdout } = await execute('apt-config', ['shell', 'proxy', `Acquire::${scheme}::Proxy`], {
      env: systemEnvironment,
    }).catch(() => ({ stdout: '' })) // another distribution than Debian
    const url = /^proxy='([^']+)'$/m.exec(stdout)?.[1]
    if (url !== undefined) found[`${scheme}_proxy`] = url
  }
  return found
}
