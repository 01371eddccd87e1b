import type { packageManagerNames } from '@coderunner/runtime'

export type PackageManagerName = (typeof packageManagerNames)[number]

/** Which versions of software there are. Nothing satisfies a range: undefined. */
export interface SoftwareVersions {
  /** Of Node where a project asks for none. */
  readonly defaultNode: string
  node(range: string): Promise<string | undefined>
  packageManager(name: 'pnpm' | 'yarn' | 'bun', range: string): Promise<string | undefined>
}
