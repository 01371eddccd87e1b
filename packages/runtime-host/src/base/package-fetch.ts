/**
 * Packages of the machine's registry at exact versions. npm fetches them and checks their integrity, as a user without
 * rights who sees a base image and one directory; what it left there is then read as if a stranger had written it.
 */
import { chownSync, mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '@coderunner/contract'
import { formatImage, putToRest } from '../disk.ts'
import { type JailResult, runInJail } from '../jail/jail.ts'
import { networkFiles } from '../jail/machine-files.ts'
import { mountImage } from '../kernel/loop.ts'
import type { PathHandle } from '../kernel/path-handle.ts'
import { nearestVersions } from './nearest-versions.ts'
import { openBelow } from './plain-tree.ts'

export interface PackageFetchOptions {
  /** Layers of a root with Node and npm in `/usr/local`, the topmost first. */
  rootLayers: readonly string[]
  /** npm's settings of the machine (`npm_config_registry`, `HTTPS_PROXY` …); npm's own defaults when empty. */
  registryEnv: Readonly<Record<string, string>>
  /** Whom npm runs as. */
  user: number
  signal: AbortSignal
}

export interface PackageVersion {
  name: string
  version: string
}

export interface FetchedPackages {
  open(name: string): PathHandle
}

/** Packed and unpacked. */
const SIZE_MB = 1024
const TIMEOUT_MS = 5 * 60_000
/** In the base image. */
const WORK_DIR = '/app'
const NPM = ['/usr/local/bin/node', '/usr/local/lib/node_modules/npm/bin/npm-cli.js'] as const
const INSTALL = [
  'install',
  '--ignore-scripts',
  '--no-bin-links',
  '--no-save',
  '--no-package-lock',
  '--omit=dev',
  '--omit=optional',
  '--omit=peer',
  '--',
]

export class PackageFetch {
  readonly #options: PackageFetchOptions

  constructor(options: PackageFetchOptions) {
    this.#options = options
  }

  /**
   * Fetches into a directory that exists, and removes everything but what `take` made of it.
   * @param subject what the user asked for, such as `Node 20.19.5`
   * @throws AppError `nothing_to_run` when the first package has no such version, `unavailable` when it did not work
   */
  async fetch(
    { directory, packages, subject }: { directory: string; packages: readonly PackageVersion[]; subject: string },
    take: (fetched: FetchedPackages) => Promise<void>,
  ): Promise<void> {
    const image = join(directory, 'fetch.image')
    const work = join(directory, 'fetch')
    const root = join(directory, 'fetch.root')
    for (const path of [work, root]) mkdirSync(path, { mode: 0o700 })
    await formatImage(image, SIZE_MB)
    mountImage(image, work, { discard: true, noSuid: true })
    try {
      chownSync(work, this.#options.user, this.#options.user)
      await this.#install({ work, root, packages, subject })
      await take({ open: name => openBelow(work, ['node_modules', ...name.split('/')]) })
    } finally {
      await putToRest(image, work)
      for (const path of [image, work, root]) await rm(path, { recursive: true, force: true })
    }
  }

  async #install(order: {
    work: string
    root: string
    packages: readonly PackageVersion[]
    subject: string
  }): Promise<void> {
    const { packages, subject } = order
    const result = await this.#npm(order, [...INSTALL, ...packages.map(spec)])
    if (result.code === 0) return
    const said = result.lastLines.filter(line => line.startsWith('npm error')).slice(0, 5)
    const isAbsent = /\b(ETARGET|E404)\b/.test(said.join('\n'))
    const [wanted] = packages
    if (!isAbsent || wanted === undefined || !said.some(line => line.includes(spec(wanted)))) {
      const reason = result.code < 0 ? 'it took too long' : said.join(' ') || result.lastLines.slice(-3).join(' ')
      throw new AppError('unavailable', `${subject} could not be fetched from the package registry: ${reason}`)
    }
    const near = await this.#near(order, wanted)
    const advice = near.length === 0 ? '' : ` Near it are ${near.join(', ')}.`
    throw new AppError('nothing_to_run', `${subject} was asked for, and there is no such version.${advice}`)
  }

  async #near(order: { work: string; root: string }, { name, version }: PackageVersion): Promise<string[]> {
    const { code, stdout } = await this.#npm(order, ['view', '--json', '--', name, 'versions'])
    if (code !== 0) return []
    try {
      const all = JSON.parse(stdout) as unknown
      return nearestVersions(version, Array.isArray(all) ? all.map(String) : [])
    } catch {
      return [] // the message does without
    }
  }

  async #npm({ work, root }: { work: string; root: string }, args: readonly string[]): Promise<JailResult> {
    const { rootLayers, registryEnv, user, signal } = this.#options
    return runInJail({
      root,
      tree: { lower: rootLayers },
      binds: [...networkFiles(), { source: work, target: WORK_DIR }],
      user: { uid: user, gid: user },
      cwd: WORK_DIR,
      argv: [...NPM, ...args],
      env: {
        ...registryEnv,
        HOME: WORK_DIR,
        TMPDIR: WORK_DIR,
        npm_config_cache: `${WORK_DIR}/.cache`,
        npm_config_logs_max: '0',
        npm_config_audit: 'false',
        npm_config_fund: 'false',
        npm_config_update_notifier: 'false',
        npm_config_loglevel: 'error',
        npm_config_progress: 'false',
      },
      timeoutMs: TIMEOUT_MS,
      signal,
    })
  }
}

const spec = ({ name, version }: PackageVersion): string => `${name}@${version}`
