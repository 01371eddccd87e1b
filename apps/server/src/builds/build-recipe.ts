/**
 * How a release is made, as data: what the sandbox brings, what fills the dependency layer, what runs over the source.
 * Pure functions make one from a detection and the file list (`node-recipe.ts`, `python-recipe.ts`); `release-build.ts`
 * carries it out.
 */
import type { SandboxSpec } from '@coderunner/runtime'

/** Run in a builder, in the application directory, as its user. `argv[0]` is looked up in PATH. */
export interface BuildCommand {
  argv: readonly string[]
  env?: Readonly<Record<string, string>>
  /** Folder it runs in, below the application directory; that one itself when absent. */
  cwd?: string
  /** As shown to people; the arguments joined by spaces when absent. */
  label?: string
}

export interface DependencyRecipe {
  /** Paths of the files that decide what is installed. They alone lie in the builder while it installs. */
  files: readonly string[]
  /** Contents that differ from the upload's while installing, such as a package.json without lifecycle scripts. */
  replace?: Readonly<Record<string, string>>
  install: readonly BuildCommand[]
  /** Run instead when the install failed for this reason, with a warning for the user. */
  fallback?: { when: (lines: readonly string[]) => boolean; warning: string; install: readonly BuildCommand[] }
  /** Names of those of the project's variables that the install gets: the ones that its settings mention. */
  variables?: readonly string[]
  /** Everything else that a dependency layer of these files depends on: versions, options, environment. */
  key: readonly string[]
  /** Directories kept for the next install of this project, such as the package manager's cache. */
  caches?: readonly string[]
}

export interface BuildRecipe {
  /** Software that builders and instances get. */
  software: Pick<SandboxSpec, 'nodeVersion' | 'packageManager'>
  dependencies?: DependencyRecipe
  /** Over the source and the dependencies: lifecycle scripts, then the build. */
  build: readonly BuildCommand[]
  /** Takes out what only the build needed. Failing is told and is no reason to fail. */
  prune: readonly BuildCommand[]
  /** Folder that is published as a static site instead of running anything. */
  output?: string
}

/** Text of a file of the tree; undefined when there is none, or a link. */
export type ReadText = (path: string) => Promise<string | undefined>
