import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { AppError } from '@coderunner/contract'
import { findProgram, SYSTEM_PATH, systemEnvironment } from '../kernel/system-programs.ts'
import { buildOnce } from './build-once.ts'

const execute = promisify(execFile)

/** Whatever changes here makes another image; those of earlier recipes stay for the sandboxes that use them. */
const recipe = {
  version: 2,
  architecture: process.arch,
  suite: 'bookworm',
  packages: [
    'bash',
    'ca-certificates',
    'curl',
    'git',
    // What is compiled in a builder is linked with these.
    'libfreetype6',
    'libjpeg62-turbo',
    'libmariadb3',
    'libpng16-16',
    'libpq5',
    'libwebp7',
    'libwebpdemux2',
    'libwebpmux3',
    'libyaml-0-2',
    'netbase',
    'procps',
    'python3-minimal',
    'python3',
    'sudo',
    'tini',
    'tzdata',
    'xz-utils',
  ],
  /** For dpkg, now and later: nobody reads there. Licences stay. */
  files: [
    'path-exclude=/usr/share/doc/*',
    'path-include=/usr/share/doc/*/copyright',
    'path-exclude=/usr/share/info/*',
    'path-exclude=/usr/share/lintian/*',
    'path-exclude=/usr/share/locale/*',
    'path-include=/usr/share/locale/locale.alias',
    'path-exclude=/usr/share/man/*',
  ],
  user: { name: 'user', id: 1000, home: '/home/user' },
  /** Where the provider mounts something: root inside may not make directories in the lower layer. */
  mountPoints: ['/app', '/run/cr', '/opt/coderunner', '/opt/coderunner/agent'],
  /** Files the provider lays something over; whatever the building machine had in them goes. */
  emptyFiles: ['/etc/resolv.conf', '/etc/hostname', '/etc/hosts', '/etc/machine-id'],
  locale: 'C.UTF-8',
} as const

export interface BaseImage {
  /** Root of the tree; owners are as inside the sandbox (root 0, user 1000). Never write there. */
  path: string
  digest: string
}

/** The base image could not be built. The message says what to do. */
export class BaseImageError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super('unavailable', message, options)
  }
}

/**
 * The Debian tree below every sandbox. Built once a machine (about 25 s), by whoever
 * comes first; others wait for it.
 */
export async function ensureBaseImage(options: {
  cacheDir: string
  /** A line at a time, while it is being built. */
  onProgress?: (line: string) => void
}): Promise<BaseImage> {
  const digest = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16)
  const path = join(options.cacheDir, 'base', digest)
  await buildOnce(path, async temporaryPath => {
    await bootstrap(temporaryPath, options.onProgress ?? (() => {}))
    await furnish(temporaryPath)
  })
  return { path, digest }
}

async function bootstrap(path: string, onProgress: (line: string) => void): Promise<void> {
  if ((await findProgram('mmdebstrap')) === undefined) {
    throw new BaseImageError(
      'The base image is built by mmdebstrap, which is not installed. Install it: apt-get install mmdebstrap',
    )
  }
  onProgress(`Building the base image: Debian ${recipe.suite} with ${recipe.packages.join(', ')}`)
  const include = `--include=${recipe.packages.join(',')}`
  const child = spawn(
    // Not a clean environment: the proxy of the machine is in it.
    'env',
    [
      `PATH=${SYSTEM_PATH}`,
      'mmdebstrap',
      '--mode=root',
      '--format=directory',
      '--variant=minbase',
      ...recipe.files.map(option => `--dpkgopt=${option}`),
      include,
      recipe.suite,
      path,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const lastLines: string[] = []
  createInterface({ input: child.stderr }).on('line', line => {
    if (line.trim() === '') return
    onProgress(line)
    lastLines.push(line)
    if (lastLines.length > 15) lastLines.shift()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code === 0) return
  throw new BaseImageError(
    'The base image could not be built: mmdebstrap failed. It needs a Debian mirror (the distribution’s own, or through ' +
      `http_proxy) and Debian's keys (package debian-archive-keyring). It said last:\n${lastLines.join('\n')}`,
  )
}

async function furnish(path: string): Promise<void> {
  const { name, id, home } = recipe.user
  const inside = (file: string): string => join(path, file)
  await execute('chroot', [path, 'groupadd', '--gid', `${id}`, name], { env: systemEnvironment })
  const identity = ['--uid', `${id}`, '--gid', `${id}`, '--home-dir', home, '--shell', '/bin/bash']
  await execute('chroot', [path, 'useradd', '--create-home', ...identity, name], { env: systemEnvironment })
  await writeFile(inside('/etc/sudoers.d/user'), `${name} ALL=(ALL) NOPASSWD:ALL\n`)
  await chmod(inside('/etc/sudoers.d/user'), 0o440)
  await writeReadable(inside('/etc/default/locale'), `LANG=${recipe.locale}\n`)
  for (const file of recipe.emptyFiles) await writeReadable(inside(file), '')
  for (const directory of recipe.mountPoints) {
    await mkdir(inside(directory), { recursive: true })
    await chmod(inside(directory), 0o755)
  }
  await execute('chroot', [path, 'chown', `${id}:${id}`, '/app'], { env: systemEnvironment })
  await chmod(path, 0o755)
}

async function writeReadable(path: string, content: string): Promise<void> {
  await writeFile(path, content)
  await chmod(path, 0o644)
}
