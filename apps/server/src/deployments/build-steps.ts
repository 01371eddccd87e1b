/** Executors of the steps that make a release. */
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import type { api } from '@coderunner/contract'
import type { SandboxProvider } from '@coderunner/runtime'
import { analyzeProject } from '../analysis/analyze-project.ts'
import { projectFiles } from '../analysis/project-files.ts'
import type { SoftwareVersions } from '../analysis/software-versions.ts'
import type { BuildRecipe } from '../builds/build-recipe.ts'
import type { BuilderTask } from '../builds/builder-sandbox.ts'
import type { BuildSource, ReleaseBuild } from '../builds/release-build.ts'
import type { Db } from '../database.ts'
import { releases } from '../releases/release-store.ts'
import type { IngressLink } from '../routing/ingress-link.ts'
import { siteWithRules, withIndex } from '../routing/static-site.ts'
import type { BlobStore } from '../sources/blob-store.ts'
import { sensitiveFiles } from '../sources/sensitive-files.ts'
import { sources } from '../sources/source-store.ts'
import { folderTree, isLink, type SourceTree, shown } from '../sources/source-tree.ts'
import type { BuilderRooms } from './builder-rooms.ts'
import { deployments } from './deployment-store.ts'
import type { StepExecutors, StepRun } from './step-executors.ts'

/** Reads the environment of a configuration version. */
export interface EnvironmentSource {
  read(configVersionId: string): Promise<Record<string, string>>
}

export interface BuildStepsDeps {
  db: Db
  provider: SandboxProvider
  blobs: BlobStore
  releaseBuild: ReleaseBuild
  rooms: BuilderRooms
  ingress: IngressLink
  configuration: EnvironmentSource
  versions: SoftwareVersions
}

/** Files of a site, wherever they lie. */
interface SiteFiles {
  tree: SourceTree
  root: string
  read: (hash: string, maxBytes: number) => Promise<Buffer>
  open: (hash: string) => Readable
}

const maxReadBytes = 4 * 1024 * 1024

export class BuildSteps {
  readonly #deps: BuildStepsDeps

  constructor(deps: BuildStepsDeps) {
    this.#deps = deps
  }

  get executors(): Pick<StepExecutors, 'analyze' | 'install' | 'build' | 'publish'> {
    return {
      analyze: run => this.#analyze(run),
      install: (run, step) => (step.skip ? Promise.resolve('skipped') : this.#install(run)),
      build: run => this.#build(run),
      publish: run => this.#publish(run),
    }
  }

  /** Whether the dependencies that a source needs are there already. */
  async dependenciesReady(run: Pick<StepRun, 'deployment' | 'found'>): Promise<boolean> {
    if (run.found.detection?.install === undefined) return false
    const { releaseBuild, provider } = this.#deps
    const source = await this.#source(run)
    const layer = releaseBuild.dependencyLayer(source, await releaseBuild.recipe(source))
    return layer !== undefined && (await provider.layer(layer)) !== undefined
  }

  async #analyze(run: StepRun): Promise<'done'> {
    const { db, blobs, versions } = this.#deps
    const { tree, projectId } = await sources(db).read(run.deployment.source_id)
    const entries = new Map(tree.map(entry => [entry.path, entry]))
    const files = projectFiles([...entries.keys()], async path => {
      const entry = entries.get(path)
      return entry === undefined || isLink(entry) ? undefined : blobs.read(projectId, entry.hash, maxReadBytes)
    })
    const detection = await analyzeProject(files, run.deployment.options, versions)
    for (const { what, why } of detection.findings) await run.log.system(`Found ${what} (${why}).`)
    for (const warning of detection.warnings) await run.log.system(warning, 'warn')
    for (const path of await sensitiveFiles(tree, ({ hash }) => blobs.read(projectId, hash, maxReadBytes)))
      await run.log.system(
        `${shown(path)} was uploaded and may hold secrets: every process of the application can read it. Leave it out and set variables instead.`,
        'warn',
      )
    run.found.detection = detection
    await deployments(db).asHolder(run.lease).update({ processes: detection.processes })
    return 'done'
  }

  async #install(run: StepRun): Promise<'done'> {
    const { releaseBuild } = this.#deps
    const source = await this.#source(run)
    const recipe = await releaseBuild.recipe(source)
    const layer = releaseBuild.dependencyLayer(source, recipe)
    if (layer === undefined) return 'done'
    await this.#noteLayer(run, layer, 'dependencies')
    await this.#inBuilder(run, recipe, [], task => releaseBuild.install(source, recipe, task, layer))
    return 'done'
  }

  async #build(run: StepRun): Promise<'done' | 'skipped'> {
    const { releaseBuild, provider, db } = this.#deps
    const source = await this.#source(run)
    const recipe = await releaseBuild.recipe(source)
    const dependencies = releaseBuild.dependencyLayer(source, recipe)
    const below = dependencies === undefined ? [] : [dependencies]
    for (const id of below) await this.#noteLayer(run, id, 'dependencies')
    if (recipe.output !== undefined) return this.#buildSite(run, source, recipe, below)
    const layer = releaseBuild.buildLayer(source, recipe)
    await this.#noteLayer(run, layer, 'build')
    const present = (await provider.layer(layer)) !== undefined
    if (!present) await this.#inBuilder(run, recipe, below, task => releaseBuild.build(source, recipe, task, layer))
    await db.transaction().execute(async tx => {
      const releaseId = await releases(tx).insert({
        projectId: run.deployment.project_id,
        sourceId: run.deployment.source_id,
        detection: source.detection,
        layers: [layer, ...below],
      })
      await deployments(tx).asHolder(run.lease).update({ releaseId, processes: source.detection.processes })
    })
    return present ? 'skipped' : 'done'
  }

  /** The ingress gets the files at once: they are nowhere else. `publish` makes a release of them. */
  async #buildSite(run: StepRun, source: BuildSource, recipe: BuildRecipe, below: readonly string[]): Promise<'done'> {
    const { releaseBuild, blobs } = this.#deps
    await using upload = await blobs.stage()
    await this.#inBuilder(run, recipe, below, async task => {
      const tree = await releaseBuild.buildSite(source, recipe, task, upload)
      run.found.site = await this.#hand(run, source.detection, {
        tree,
        root: '.',
        read: (hash, maxBytes) => upload.read(hash, maxBytes),
        open: hash => createReadStream(upload.pathOf(hash)),
      })
    })
    return 'done'
  }

  /** Gives the ingress a site; how many files it has. */
  async #hand(run: StepRun, { indexFallback = false }: api.Detection, files: SiteFiles): Promise<number> {
    const { rules, warnings } = await siteWithRules({ ...files, indexFallback })
    for (const warning of warnings) await run.log.system(warning, 'warn')
    const site = rules.indexFallback ? { ...rules, files: withIndex(rules.files) } : rules
    // One site a deployment, under its id: published again after a crash it is the same one.
    await this.#deps.ingress.publishSite(run.deployment.id, site, files.open)
    run.signal.throwIfAborted()
    return site.files.length
  }

  async #publish(run: StepRun): Promise<'done'> {
    const { db, blobs } = this.#deps
    const { detection, tree, projectId } = await this.#source(run)
    const siteId = run.deployment.id
    const count =
      run.found.site ??
      (await this.#hand(run, detection, {
        tree,
        root: detection.root ?? '.',
        read: (hash, maxBytes) => blobs.read(projectId, hash, maxBytes),
        open: hash => blobs.open(projectId, hash),
      }))
    await db.transaction().execute(async tx => {
      const releaseId = await releases(tx).insert({
        projectId: run.deployment.project_id,
        sourceId: run.deployment.source_id,
        detection,
        siteId,
      })
      await deployments(tx).asHolder(run.lease).update({ releaseId })
    })
    await run.log.system(`Published ${count} files.`)
    return 'done'
  }

  async #source({ deployment, found }: Pick<StepRun, 'deployment' | 'found'>): Promise<BuildSource> {
    const detection = found.detection ?? deployment.detection
    if (detection === null) throw new Error('A build was planned before the analysis.')
    const { db, configuration } = this.#deps
    const upload = await sources(db).read(deployment.source_id)
    const tree = detection.directory === undefined ? upload.tree : folderTree(upload.tree, detection.directory)
    const env = deployment.config_version_id === null ? {} : await configuration.read(deployment.config_version_id)
    return { projectId: deployment.project_id, deploymentId: deployment.id, tree, detection, env }
  }

  #noteLayer(run: StepRun, id: string, kind: 'dependencies' | 'build'): Promise<void> {
    return releases(this.#deps.db).noteLayer({ id, projectId: run.deployment.project_id, kind })
  }

  async #inBuilder(
    run: StepRun,
    { software }: BuildRecipe,
    layers: readonly string[],
    work: (task: BuilderTask) => Promise<void>,
  ): Promise<void> {
    const { rooms, releaseBuild } = this.#deps
    await rooms.run(run, { layers, software, env: releaseBuild.environment() }, work)
  }
}
