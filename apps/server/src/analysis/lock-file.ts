/** What lock files of the package managers say, as far as it decides anything here. */
import semver from 'semver'
import type { PackageManagerName } from './software-versions.ts'

/** Looked for in this order. */
export const lockFiles = {
  'pnpm-lock.yaml': 'pnpm',
  'bun.lock': 'bun',
  'bun.lockb': 'bun',
  'yarn.lock': 'yarn',
  'package-lock.json': 'npm',
  'npm-shrinkwrap.json': 'npm',
} as const satisfies Record<string, PackageManagerName>
export type LockFile = keyof typeof lockFiles

/** Versions of the package manager that read and write a lock file as it is; undefined for npm's, which all do. */
export function managerRange(lock: LockFile, text: string): string | undefined {
  if (lock === 'pnpm-lock.yaml') return pnpmRange(/^lockfileVersion:\s*'?([\d.]+)/m.exec(text)?.[1])
  if (lock === 'yarn.lock') return yarnRange(/^__metadata:\s*\n\s+version:\s*(\d+)/m.exec(text)?.[1])
  if (lock === 'bun.lock') return '>=1.2.0 <2'
  return lock === 'bun.lockb' ? '^1.0.0' : undefined
}

function pnpmRange(version: string | undefined): string {
  const format = Number(version ?? '9')
  if (format >= 9) return '^10.0.0'
  if (format >= 6) return '^8.0.0'
  return format >= 5.4 ? '^7.0.0' : '^6.0.0'
}

/** A lock file of Yarn 1 has no metadata. */
function yarnRange(version: string | undefined): string {
  if (version === undefined) return '^1.22.0'
  const format = Number(version)
  if (format >= 8) return '^4.0.0'
  return format >= 5 ? '^3.0.0' : '^2.0.0'
}

/** The version of a direct dependency that a lock file names, where it can be told. */
export function lockedVersion(lock: LockFile, text: string, name: string): string | undefined {
  const quoted = name.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
  const patterns: Partial<Record<LockFile, RegExp>> = {
    'package-lock.json': new RegExp(`"node_modules/${quoted}":\\s*\\{\\s*"version":\\s*"([^"]+)"`),
    'npm-shrinkwrap.json': new RegExp(`"node_modules/${quoted}":\\s*\\{\\s*"version":\\s*"([^"]+)"`),
    'yarn.lock': new RegExp(`^"?${quoted}@[^\\n]*:\\n\\s+version:?\\s+"?([^"\\n]+)"?`, 'm'),
    'pnpm-lock.yaml': new RegExp(`^\\s+'?${quoted}'?:\\n\\s+specifier:[^\\n]*\\n\\s+version:\\s*([^\\s(]+)`, 'm'),
    'bun.lock': new RegExp(`^\\s+"${quoted}":\\s*\\["${quoted}@([^"]+)"`, 'm'),
  }
  return semver.valid(patterns[lock]?.exec(text)?.[1]) ?? undefined
}
