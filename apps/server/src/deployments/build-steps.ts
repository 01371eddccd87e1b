/** Executors of the steps that make a release. */
import type { SandboxProvider } from '@coderunner/runtime'
import { analyzeProject } from '../analysis/analyze-project.ts'
import { projectFiles } from '../analysis/project-files.ts'
import { type BuilderTask, withTimeLimit } from '../builds/builder-sandbox.ts'
import type { BuildQueue } from '../builds/build-queue.ts'
import type { BuildSource, NodeBuild } from '../builds/node-build.ts'
import type { Db } from '../database.ts'
import { releases } from '../releases/release-store.ts'
import type { IngressLink } from '../routing/ingress-link.ts'
import { staticSite } from '../routing/static-site.ts'
import type { BlobStore } from '../sources/blob-store.ts'
import { sources } from '../sources/source-store.ts'
import { isLink } from '../sources/source-tree.ts'
import { deployments } from './deployment-store.ts'
import { instances } from './instance-store.ts'
import type { StepExecutors, StepRun } from './step-executors.ts'

/** Reads the environment of a configuration version. */
export interface EnvironmentSource {
  read(configVersionId: string): Promise<Record<string, string>>
}

export interface BuildStepsDeps {
  db: Db
  provider: SandboxProvider
  blobs: BlobStore
  nodeBuild: NodeBuild
  queue: BuildQueue
  ingress: IngressLink
  configuration: EnvironmentSource
  /** Version of Node that sandboxes have. */
  nodeVersion: string
  buildTimeoutMs: number
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
    if (run.found.detection === undefined || run.found.detection.runtime !== 'nodejs') return false
    const layer = this.#deps.nodeBuild.dependencyLayer(await this.#source(run))
    return layer !== undefined && (await this.#deps.provider.layer(layer)) !== undefined
  }

  async #analyze(run: StepRun): Promise<'done'> {
    const { db, blobs, nodeVersion } = this.#deps
    const { tree, projectId } = await sources(db).read(run.deployment.source_id)
    const entries = new Map(tree.map(entry => [entry.path, entry]))
    const files = projectFiles([...entries.keys()], async path => {
      const entry = entries.get(path)
      return entry === undefined || isLink(entry) ? undefined : blobs.read(projectId, entry.hash, maxReadBytes)
    })
    const detection = await analyzeProject(files, run.deployment.options, nodeVersion)
    for (const { what, why } of detection.findings) await run.log.system(`Found ${what} (${why}).`)
    for (const warning of detection.warnings) await run.log.system(warning, 'warn')
    run.found.detection = detection
    await deployments(db).asHolder(run.lease).update({ processes: detection.processes })
    return 'done'
  }

  async #install(run: StepRun): Promise<'done'> {
    const { nodeBuild } = this.#deps
    const source = await this.#source(run)
    const layer = nodeBuild.dependencyLayer(source)
    if (layer === undefined) return 'done'
    await this.#noteLayer(run, layer, 'dependencies')
    await this.#inBuilder(run, [], task => nodeBuild.install(source, task, layer))
    return 'done'
  }

  async #build(run: StepRun): Promise<'done' | 'skipped'> {
    const { nodeBuild, provider, db } = this.#deps
    const source = await this.#source(run)
    const dependencies = nodeBuild.dependencyLayer(source)
    const below = dependencies === undefined ? [] : [dependencies]
    const layer = await nodeBuild.buildLayer(source)
    for (const id of below) await this.#noteLayer(run, id, 'dependencies')
    await this.#noteLayer(run, layer, 'build')
    const present = (await provider.layer(layer)) !== undefined
    if (!present) await this.#inBuilder(run, below, task => nodeBuild.build(source, task, layer))
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

  async #publish(run: StepRun): Promise<'done'> {
    const { db, ingress, blobs } = this.#deps
    const { detection, tree } = await this.#source(run)
    const site = staticSite(tree, detection.root ?? '.')
    // One site a deployment, under its id: published again after a crash it is the same one.
    const siteId = run.deployment.id
    await ingress.publishSite(siteId, site, hash => blobs.open(run.deployment.project_id, hash))
    run.signal.throwIfAborted()
    await db.transaction().execute(async tx => {
      const releaseId = await releases(tx).insert({
        projectId: run.deployment.project_id,
        sourceId: run.deployment.source_id,
        detection,
        siteId,
      })
      await deployments(tx).asHolder(run.lease).update({ releaseId })
    })
    await run.log.system(`Published ${site.files.length} files.`)
    return 'done'
  }

  async #source({ deployment, found }: Pick<StepRun, 'deployment' | 'found'>): Promise<BuildSource> {
    const detection = found.detection ?? deployment.detection
    if (detection === null) throw new Error('A build was planned before the analysis.')
    const { db, configuration } = this.#deps
    const { tree } = await sources(db).read(deployment.source_id)
    const env = deployment.config_version_id === null ? {} : await configuration.read(deployment.config_version_id)
    return { projectId: deployment.project_id, deploymentId: deployment.id, tree, detection, env }
  }

  #noteLayer(run: StepRun, id: string, kind: 'dependencies' | 'build'): Promise<void> {
    return releases(this.#deps.db).noteLayer({ id, projectId: run.deployment.project_id, kind })
  }

  async #inBuilder(run: StepRun, layers: readonly string[], work: (task: BuilderTask) => Promise<void>): Promise<void> {
    const { queue, provider, nodeBuild, db, buildTimeoutMs } = this.#deps
    if (queue.isFull) await run.log.system('Waiting for another build to end.')
    await queue.run(run.signal, async () => {
      using limited = withTimeLimit(run.signal, buildTimeoutMs)
      const { id: deploymentId, project_id: projectId } = run.deployment
      const store = instances(db)
      const sandboxId = await store.insert({ deploymentId, kind: 'builder', process: 'builder', number: 1 })
      await work({
        provider,
        sandboxId,
        projectId,
        deploymentId,
        fence: run.lease.fence,
        layers,
        env: nodeBuild.environment(),
        output: run.log,
        signal: limited.signal,
      })
        // Whatever came of it, the sandbox is gone.
        .finally(() => store.update(sandboxId, { status: 'GONE' }))
    })
  }
}
