/**
 * Carries a recipe out: one layer with the dependencies, and one with the source and what was built of it, or else the
 * files of a static site.
 */
import type { api } from '@coderunner/contract'
import type { BlobStore } from '../sources/blob-store.ts'
import { packSource } from '../sources/source-pack.ts'
import { isLink, type SourceTree } from '../sources/source-tree.ts'
import type { StagedUpload } from '../sources/staged-upload.ts'
import { buildFailure } from './build-failure.ts'
import type { BuildRecipe, DependencyRecipe } from './build-recipe.ts'
import { type Builder, type BuilderTask, withBuilder } from './builder-sandbox.ts'
import { dependencyLayerId, installFiles, layerId } from './dependency-key.ts'
import { recipeOf } from './recipe-of.ts'
import { registryEnvironment } from './registry-environment.ts'
import { readOutput } from './site-output.ts'

export interface BuildSource {
  projectId: string
  deploymentId: string
  /** The files of the folder that is deployed. */
  tree: SourceTree
  detection: api.Detection
  /** Variables of the project; a build may compile them in. */
  env: Readonly<Record<string, string>>
}

export interface ReleaseBuildOptions {
  blobs: BlobStore
  /** Registry and proxy settings of the machine, as npm has them. */
  environment: Readonly<Record<string, string>>
  architecture: string
}

const maxManifestBytes = 4 * 1024 * 1024
const template = 'builder'

export class ReleaseBuild {
  readonly #options: ReleaseBuildOptions

  constructor(options: ReleaseBuildOptions) {
    this.#options = { ...options, environment: registryEnvironment(options.environment) }
  }

  recipe({ projectId, tree, detection }: BuildSource): Promise<BuildRecipe> {
    const entries = new Map(tree.map(entry => [entry.path, entry]))
    return recipeOf(detection, tree, async path => {
      const entry = entries.get(path)
      if (entry === undefined || isLink(entry)) return undefined
      const text = (await this.#options.blobs.read(projectId, entry.hash, maxManifestBytes)).toString('utf8')
      // A byte order mark is no part of the text.
      return text.replace(/^\uFEFF/, '')
    })
  }

  /** Id of the layer with the dependencies, undefined when there are none. */
  dependencyLayer({ projectId, tree, env }: BuildSource, recipe: BuildRecipe): string | undefined {
    const { dependencies, software } = recipe
    if (dependencies === undefined) return undefined
    const { environment, architecture } = this.#options
    return dependencyLayerId({
      projectId,
      tree,
      dependencies,
      software,
      template,
      architecture,
      environment: { ...environment, ...variablesOf(dependencies, env) },
    })
  }

  /**
   * Id of the layer with the source. Without commands to run it is the source and nothing else, and the same source has the
   * same layer; what commands make may differ each time, so that each deployment has its own.
   */
  buildLayer(source: BuildSource, recipe: BuildRecipe): string {
    const { projectId, deploymentId, tree } = source
    const files = tree.map(entry => [entry.path, isLink(entry) ? `-> ${entry.link}` : [entry.hash, entry.executable]])
    const unique = recipe.build.length > 0 ? deploymentId : ''
    const dependencies = this.dependencyLayer(source, recipe) ?? ''
    return layerId(['build', projectId, dependencies, recipe.software.nodeVersion ?? '', unique, files])
  }

  environment(): Readonly<Record<string, string>> {
    return this.#options.environment
  }

  async install(source: BuildSource, recipe: BuildRecipe, task: BuilderTask, layer: string): Promise<void> {
    const { dependencies } = recipe
    if (dependencies === undefined) return
    const { tree, projectId, env } = source
    const replaced = new Map(
      Object.entries(dependencies.replace ?? {}).map(([path, text]) => [path, Buffer.from(text)]),
    )
    await withBuilder(task, async builder => {
      const files = installFiles(tree, dependencies)
      await builder.sandbox.files.unpack(
        '.',
        packSource(files, hash => this.#options.blobs.open(projectId, hash), replaced),
      )
      await install(builder, task, dependencies, variablesOf(dependencies, env))
      await builder.capture(layer)
    })
  }

  async build(source: BuildSource, recipe: BuildRecipe, task: BuilderTask, layer: string): Promise<void> {
    await withBuilder(task, async builder => {
      await this.#make(builder, source, recipe)
      for (const command of recipe.prune) {
        const failed = await builder.attempt(command)
        if (failed !== undefined)
          await task.output.build('stderr', [`WARN “${failed.command}” failed: nothing was removed`])
      }
      await builder.capture(layer)
    })
  }

  /** Builds a static site and takes its files into `upload`; nothing else is kept. */
  async buildSite(
    source: BuildSource,
    recipe: BuildRecipe,
    task: BuilderTask,
    upload: StagedUpload,
  ): Promise<SourceTree> {
    return withBuilder(task, async builder => {
      await this.#make(builder, source, recipe)
      return readOutput(builder.sandbox.files, recipe.output ?? '.', upload)
    })
  }

  async #make(builder: Builder, { tree, projectId, env }: BuildSource, recipe: BuildRecipe): Promise<void> {
    await builder.sandbox.files.unpack(
      '.',
      packSource(tree, hash => this.#options.blobs.open(projectId, hash)),
    )
    for (const command of recipe.build) await builder.run({ ...command, env: { ...command.env, ...env } })
  }
}

async function install(
  builder: Builder,
  task: BuilderTask,
  { install, fallback }: DependencyRecipe,
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  for (const command of install) {
    const failed = await builder.attempt({ ...command, env: { ...command.env, ...variables } })
    if (failed === undefined) continue
    if (fallback?.when(failed.lines) !== true) throw buildFailure(failed)
    await task.output.build('stderr', [`WARN ${fallback.warning}`])
    for (const instead of fallback.install) await builder.run({ ...instead, env: { ...instead.env, ...variables } })
    return
  }
}

/** Of the project's variables those that the install gets. */
function variablesOf(
  { variables = [] }: DependencyRecipe,
  env: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(variables.flatMap(name => (env[name] === undefined ? [] : [[name, env[name]]])))
}
