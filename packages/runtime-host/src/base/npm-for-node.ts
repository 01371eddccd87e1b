import semver from 'semver'

/** The last of each major version that runs on a Node which a newer npm has given up, newest first. */
const olderVersions = [
  { version: '10.9.9', node: '^18.17.0 || >=20.5.0' },
  { version: '9.9.4', node: '^14.17.0 || ^16.13.0 || >=18.0.0' },
  { version: '8.19.4', node: '^12.13.0 || ^14.15.0 || >=16.0.0' },
  { version: '6.14.18', node: '6 >=6.2.0 || 8 || >=9.3.0' },
]

export const OLDEST_NODE = '6.2.0'

/** npm as this program brings it. */
export interface PinnedNpm {
  version: string
  /** Its `engines.node`. */
  node: string
}

/**
 * The newest npm for a version of Node.
 * @returns undefined when that is none of those that are kept
 */
export function npmForNode(nodeVersion: string, pinned: PinnedNpm): string | undefined {
  const runs = ({ node }: { node: string }): boolean => semver.satisfies(nodeVersion, node, { includePrerelease: true })
  return [pinned, ...olderVersions].find(runs)?.version
}
