import semver from 'semver'
import type { SoftwareVersions } from './software-versions.ts'

const published = {
  node: ['18.20.8', '20.19.5', '22.11.0', '22.20.0', '24.21.0', '25.1.0'],
  pnpm: ['7.33.7', '8.15.9', '9.15.9', '10.20.0'],
  yarn: ['1.22.22', '2.4.3', '3.8.7', '4.10.3'],
  bun: ['1.1.45', '1.3.0'],
} as const

/** For tests: a registry that does not change. */
export const publishedVersions: SoftwareVersions = {
  defaultNode: '24.21.0',
  node: async range => semver.maxSatisfying([...published.node], range) ?? undefined,
  packageManager: async (name, range) => semver.maxSatisfying([...published[name]], range) ?? undefined,
}
