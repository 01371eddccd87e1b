import { join } from 'node:path'
import semver from 'semver'
import { NodeVersions } from './node-versions.ts'
import { PackageVersions } from './package-versions.ts'
import type { SoftwareVersions } from './software-versions.ts'

/** Versions as the machine's package registry has them. */
export class PublishedSoftware implements SoftwareVersions, AsyncDisposable {
  readonly defaultNode: string
  readonly #packages: PackageVersions
  readonly #nodeVersions: NodeVersions

  private constructor(defaultNode: string, packages: PackageVersions) {
    this.defaultNode = defaultNode
    this.#packages = packages
    this.#nodeVersions = new NodeVersions({ packages, present: [defaultNode] })
  }

  /** `environment`: the machine's settings as builders have them. What the registry said is kept in the data directory. */
  static async open(options: {
    environment: Readonly<Record<string, string>>
    dataDirectory: string
    defaultNode: string
  }): Promise<PublishedSoftware> {
    const { environment, dataDirectory, defaultNode } = options
    const directory = join(dataDirectory, 'package-versions')
    return new PublishedSoftware(defaultNode, await PackageVersions.open({ environment, directory }))
  }

  node(range: string): Promise<string | undefined> {
    return this.#nodeVersions.resolve(range)
  }

  packageManager(name: 'pnpm' | 'yarn' | 'bun', range: string): Promise<string | undefined> {
    // Yarn 2 and later is published under another name than Yarn 1.
    const isBerry = name === 'yarn' && !semver.intersects(range, '<2')
    return this.#packages.resolve(isBerry ? '@yarnpkg/cli-dist' : name, range)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#packages[Symbol.asyncDispose]()
  }
}

/** Where no registry is known: the Node that is there, and what projects name exactly. */
export function presentSoftware(defaultNode: string): SoftwareVersions {
  return {
    defaultNode,
    node: async range => (semver.satisfies(defaultNode, range) ? defaultNode : undefined),
    packageManager: async () => undefined,
  }
}
