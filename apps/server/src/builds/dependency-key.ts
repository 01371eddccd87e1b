/**
 * Names a dependency layer by all that decides what an install brings: equal keys, equal dependencies, no install. The
 * project is part of it, because layers are never shared between projects.
 */
import { createHash } from 'node:crypto'
import { isLink, type SourceTree } from '../sources/source-tree.ts'

export interface InstallInputs {
  projectId: string
  tree: SourceTree
  /** Such as `npm ci --omit=dev`. */
  command: string
  nodeVersion: string
  packageManager: string
  template: string
  architecture: string
  /** Environment of the install: registry, proxy. */
  environment: Readonly<Record<string, string>>
}

const manifests = new Set(['package.json', '.npmrc'])
const rootOnly = new Set(['package-lock.json', 'npm-shrinkwrap.json'])

/** The files an install sees: every package.json and .npmrc, the lock and whatever `patches/` holds. */
export function installFiles(tree: SourceTree): SourceTree {
  return tree.filter(({ path }) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    return manifests.has(name) || rootOnly.has(path) || path.startsWith('patches/')
  })
}

/** A layer id, 20 characters of a-z0-9. */
export function dependencyLayerId(inputs: InstallInputs): string {
  const { tree, environment, ...rest } = inputs
  const files = installFiles(tree)
    .map(entry => [entry.path, isLink(entry) ? `-> ${entry.link}` : entry.hash])
    .sort()
  return layerId(['dependencies', sorted({ ...rest }), sorted(environment), files])
}

/** A layer id made of what the layer is made of. */
export function layerId(parts: unknown): string {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest()
  const digits = BigInt(`0x${digest.subarray(0, 16).toString('hex')}`).toString(36)
  // A letter first: an id may become a host label or a name in a cgroup.
  return `l${digits.padStart(19, '0').slice(-19)}`
}

function sorted(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).sort()
}
