/** Turns the source of a Node project into layers: one with its dependencies, one with the source and what was built. */
import type { api } from '@coderunner/contract'
import type { BlobStore } from '../sources/blob-store.ts'
import { packSource } from '../sources/source-pack.ts'
import type { SourceTree } from '../sources/source-tree.ts'
import { installScripts, parsePackageJson, withoutLifecycleScripts } from '../analysis/package-json.ts'
import { isLink } from '../sources/source-tree.ts'
import { isLockOutOfSync, buildFailure } from './build-failure.ts'
import { type Builder, type BuilderTask, withBuilder } from './builder-sandbox.ts'
import { dependencyLayerId, installFiles, layerId } from './dependency-key.ts'

export interface BuildSource {
  projectId: string
  deploymentId: string
  tree: SourceTree
  detection: api.Detection
  /** Variables of the project; a build may compile them in. */
  env: Readonly<Record<string, string>>
}

export interface NodeBuildOptions {
  blobs: BlobStore
  /** Registry and proxy settings of the machine. */
  environment: Readonly<Record<string, string>>
  architecture: string
}

const maxManifestBytes = 4 * 1024 * 1024
const npmEnvironment = {
  CI: 'true',
  npm_config_update_notifier: 'false',
  npm_config_fund: 'false',
  npm_config_audit: 'false',
  npm_config_progress: 'false',
}

export class NodeBuild {
  readonly #options: NodeBuildOptions

  constructor(options: NodeBuildOptions) {
    this.#options = options
  }

  /** Id of the layer with the dependencies, undefined when there are none. */
  dependencyLayer(source: BuildSource): string | undefined {
    const { detection, tree, projectId } = source
    if (detection.install === undefined) return undefined
    return dependencyLayerId({
      projectId,
      tree,
      command: detection.install,
      nodeVersion: detection.nodeVersion ?? '',
      packageManager: detection.packageManager ?? 'npm',
      template: 'node',
      architecture: this.#options.architecture,
      environment: this.#options.environment,
    })
  }

  /**
   * Id of the layer with the source. Without scripts to run it is the source and nothing else, and the same source has the
   * same layer; what scripts make may differ each time, so that each deployment has its own.
   */
  async buildLayer(source: BuildSource): Promise<string> {
    const { projectId, deploymentId, tree, detection } = source
    const scripts = await this.#scripts(source)
    const dependencies = this.dependencyLayer(source)
    const files = tree.map(entry => [entry.path, isLink(entry) ? `-> ${entry.link}` : [entry.hash, entry.executable]])
    const unique = scripts.length > 0 ? deploymentId : ''
    return layerId(['build', projectId, dependencies ?? '', detection.nodeVersion ?? '', unique, files])
  }

  environment(): Record<string, string> {
    return { ...npmEnvironment, ...this.#options.environment }
  }

  async install(source: BuildSource, task: BuilderTask, layer: string): Promise<void> {
    const { tree, projectId, detection } = source
    const manifests = installFiles(tree)
    const replaced = new Map<string, Buffer>()
    for (const entry of manifests) {
      if (isLink(entry) || !entry.path.endsWith('package.json')) continue
      const text = await this.#read(projectId, entry.hash)
      replaced.set(entry.path, Buffer.from(withoutLifecycleScripts(text)))
    }
    await withBuilder(task, async builder => {
      await builder.sandbox.files.unpack('.', packSource(manifests, hash => this.#open(projectId, hash), replaced))
      const command = (detection.install ?? 'npm install').split(' ')
      await this.#installWith(builder, task, command)
      await builder.capture(layer)
    })
  }

  async build(source: BuildSource, task: BuilderTask, layer: string): Promise<void> {
    const scripts = await this.#scripts(source)
    await withBuilder(task, async builder => {
      await builder.sandbox.files.unpack('.', packSource(source.tree, hash => this.#open(source.projectId, hash)))
      for (const script of scripts) {
        await task.output.build('stdout', [`> npm run ${script}`])
        await builder.run(['npm', 'run', script], source.env)
      }
      if (scripts.length > 0 && source.detection.install !== undefined) await this.#prune(builder, task)
      await builder.capture(layer)
    })
  }

  async #installWith(builder: Builder, task: BuilderTask, command: string[]): Promise<void> {
    await task.output.build('stdout', [`> ${command.join(' ')}`])
    const failed = await builder.attempt(command)
    if (failed === undefined) return
    if (command[1] !== 'ci' || !isLockOutOfSync(failed.lines)) throw buildFailure(failed)
    const instead = ['npm', 'install', ...command.slice(2)]
    await task.output.build('stderr', [
      'WARN package-lock.json does not fit package.json: installing without it. Run npm install and commit the lock file.',
      `> ${instead.join(' ')}`,
    ])
    await builder.run(instead)
  }

  /** What was needed to build is not needed to run; failing to take it out is no reason to fail. */
  async #prune(builder: Builder, task: BuilderTask): Promise<void> {
    const failed = await builder.attempt(['npm', 'prune', '--omit=dev', '--ignore-scripts'])
    if (failed !== undefined) await task.output.build('stderr', ['WARN the development dependencies were not removed'])
  }

  /** Scripts of the project's own to run over its source, in npm's order, the build last. */
  async #scripts({ projectId, tree, detection }: BuildSource): Promise<string[]> {
    const manifest = tree.find(entry => entry.path === 'package.json')
    if (manifest === undefined || isLink(manifest)) return []
    const { scripts } = parsePackageJson(await this.#read(projectId, manifest.hash))
    const lifecycle = installScripts.filter(name => scripts[name] !== undefined)
    return [...lifecycle, ...(detection.build === undefined ? [] : ['build'])]
  }

  async #read(projectId: string, hash: string): Promise<string> {
    return (await this.#options.blobs.read(projectId, hash, maxManifestBytes)).toString('utf8')
  }

  #open(projectId: string, hash: string) {
    return this.#options.blobs.open(projectId, hash)
  }
}
