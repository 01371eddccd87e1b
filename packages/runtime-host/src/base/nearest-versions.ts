import semver from 'semver'

/** Published versions for somebody who asked for one that is not: its neighbours, the newest alike, and the newest. */
export function nearestVersions(wanted: string, published: readonly string[]): string[] {
  const stable = published.filter(version => semver.valid(version) !== null && semver.prerelease(version) === null)
  const sorted = stable.sort(semver.compare)
  const { major } = semver.parse(wanted) ?? { major: -1 }
  const alike = sorted.filter(version => semver.major(version) === major)
  const below = sorted.findLast(version => semver.lt(version, wanted))
  const above = sorted.find(version => semver.gt(version, wanted))
  const near = [below, above, alike.at(-1), sorted.at(-1)].filter(version => version !== undefined)
  return [...new Set(near)].sort(semver.compare)
}
