/**
 * Names a dependency layer by all that decides what an install brings: equal keys, equal dependencies, no install. The
 * project is part of it, because layers are never shared between projects.
 */
import { createHash } from 'node:crypto'
import { isLink, type SourceTree } from '../sources/source-tree.ts'
import type { BuildRecipe, DependencyRecipe } from './build-recipe.ts'

export interface InstallInputs {
  projectId: string
  tree: SourceTree
  dependencies: DependencyRecipe
  software: BuildRecipe['software']
  /** What lies below: the template of builders. */
  template: string
  architecture: string
  /** Environment of the install: registry, proxy, those of the project's variables that it gets. */
  environment: Readonly<Record<string, string>>
}

/** The files of an upload that an install sees. */
export function installFiles(tree: SourceTree, { files }: Pick<DependencyRecipe, 'files'>): SourceTree {
  const wanted = new Set(files)
  return tree.filter(({ path }) => wanted.has(path))
}

/** A layer id, 20 characters of a-z0-9. */
export function dependencyLayerId(inputs: InstallInputs): string {
  const { projectId, tree, dependencies, software, template, architecture, environment } = inputs
  const { replace = {}, install, key } = dependencies
  const files = installFiles(tree, dependencies)
    .map(entry => {
      const replaced = replace[entry.path]
      if (replaced !== undefined) return [entry.path, `= ${replaced}`]
      return [entry.path, isLink(entry) ? `-> ${entry.link}` : entry.hash]
    })
    .sort(byFirst)
  const { nodeVersion = '', packageManager } = software
  const tools = [nodeVersion, packageManager?.name ?? '', packageManager?.version ?? '', template, architecture]
  const commands = install.map(({ argv, env = {}, cwd = '' }) => [argv, sorted(env), cwd])
  return layerId(['dependencies', projectId, tools, commands, key, sorted(environment), files])
}

/** A layer id made of what the layer is made of. */
export function layerId(parts: unknown): string {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest()
  const digits = BigInt(`0x${digest.subarray(0, 16).toString('hex')}`).toString(36)
  // A letter first: an id may become a host label or a name in a cgroup.
  return `l${digits.padStart(19, '0').slice(-19)}`
}

function sorted(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).sort(byFirst)
}

function byFirst([a = '']: readonly string[], [b = '']: readonly string[]): number {
  return a < b ? -1 : a > b ? 1 : 0
}
