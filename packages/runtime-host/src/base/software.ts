/** What lies below the layers of a sandbox: the base image, Node, and what else was asked for. */
import type { PackageManager, SandboxSpec } from '@coderunner/runtime'
import semver from 'semver'
import { type BaseImage, ensureBaseImage } from './base-image.ts'
import { ensureBuilderImage } from './builder-image.ts'
import { PackageFetch } from './package-fetch.ts'
import { ensurePackageManager } from './package-manager.ts'
import { ensureNode, ensureToolchain, type Toolchain } from './toolchain.ts'

export interface SoftwareOptions {
  cacheDir: string
  /** Settings of npm and pip, proxies: as the machine has them. */
  registryEnv: Readonly<Record<string, string>>
  /** Who fetches packages: an id that nobody else has. */
  user: number
  onProgress?: (line: string) => void
}

export interface SoftwareLayers {
  /** The topmost first. */
  layers: readonly string[]
  /** For programs that build. */
  env: Readonly<Record<string, string>>
}

export class Software implements Disposable {
  /** The provider's own Node, for the agent whatever Node the sandbox has. */
  readonly nodePath: string
  readonly #options: SoftwareOptions
  readonly #base: BaseImage
  readonly #toolchain: Toolchain
  readonly #fetch: PackageFetch
  readonly #ending = new AbortController()

  private constructor(options: SoftwareOptions, base: BaseImage, toolchain: Toolchain) {
    this.#options = options
    this.#base = base
    this.#toolchain = toolchain
    this.nodePath = `${toolchain.path}/usr/local/bin/node`
    this.#fetch = new PackageFetch({
      rootLayers: [toolchain.path, base.path],
      registryEnv: options.registryEnv,
      user: options.user,
      signal: this.#ending.signal,
    })
  }

  /** Makes what every sandbox needs, unless it is there. */
  static async prepare(options: SoftwareOptions): Promise<Software> {
    const [base, toolchain] = await Promise.all([ensureBaseImage(options), ensureToolchain(options)])
    return new Software(options, base, toolchain)
  }

  /**
   * Fetches and builds what is missing, which may take a minute.
   * @throws AppError `nothing_to_run` when a version does not exist, `unavailable` when something could not be had
   */
  async layersOf({ template, nodeVersion, packageManager }: SandboxSpec): Promise<SoftwareLayers> {
    const options = { cacheDir: this.#options.cacheDir, fetch: this.#fetch }
    const [toolchain, manager, builder] = await Promise.all([
      nodeVersion === undefined ? this.#toolchain : ensureNode(options, nodeVersion),
      packageManager === undefined ? undefined : ensurePackageManager(options, packageManager),
      template === 'builder' ? this.builderImage() : undefined,
    ])
    const layers = [manager, toolchain.path, builder, this.#base.path].filter(layer => layer !== undefined)
    return { layers, env: addonEnvironment(packageManager ?? { name: 'npm', version: toolchain.npmVersion }) }
  }

  /** Path of the compilers' layer; it takes about a minute to make. */
  async builderImage(): Promise<string> {
    const { cacheDir, onProgress } = this.#options
    const signal = this.#ending.signal
    return ensureBuilderImage({ cacheDir, base: this.#base, signal, ...(onProgress && { onProgress }) })
  }

  /** What is being fetched or built is given up. */
  [Symbol.dispose](): void {
    this.#ending.abort(new Error('The provider is shutting down.'))
  }
}

/**
 * node-gyp finds Node's headers without a download. The older name is known to all of them, but npm 11 warns of it at
 * every command, and has a node-gyp that knows the newer one.
 */
function addonEnvironment({ name, version }: PackageManager): Record<string, string> {
  const headers = '/usr/local'
  const own = { npm_package_config_node_gyp_nodedir: headers }
  return name === 'npm' && semver.major(version) >= 11 ? own : { ...own, npm_config_nodedir: headers }
}
