import { LayerInUseError, LayerNotFoundError, SandboxNotFoundError, StaleEpochError } from '../errors.ts'
import { layersToCopy } from '../layer-composition.ts'
import { Audience } from '../mailbox.ts'
import { requireOwnSoftware } from '../own-software.ts'
import type {
  Capabilities,
  Diagnosis,
  Fence,
  Layer,
  ProviderEvent,
  Sandbox,
  SandboxInfo,
  SandboxProvider,
  SandboxSpec,
} from '../sandbox.ts'
import { checkSandboxSpec } from '../sandbox-spec-check.ts'
import type { MemoryFiles } from './memory-files.ts'
import type { MemoryProgram } from './memory-program.ts'
import { MemorySandbox } from './memory-sandbox.ts'

export type { MemoryProgram, MemoryProgramContext } from './memory-program.ts'

interface MemoryLayer extends Layer {
  over: readonly string[]
  nodes: ReturnType<MemoryFiles['snapshot']>
}

/**
 * Sandboxes in this process's memory, for tests that are about something else: files, layers, output, events and exits
 * are real, programs are functions (`node server.js` runs
 * `programs['server.js']`, `npm ci` runs `programs.npm`), a few commands are built in, and
 * what a program serves is real HTTP on 127.0.0.1. Nothing survives the provider.
 */
export class MemoryProvider implements SandboxProvider {
  readonly name = 'memory'
  readonly capabilities: Capabilities = {
    peers: true,
    pause: false,
    layers: true,
    limits: new Set(),
    isolation: false,
    nodeVersions: false,
    packageManagers: false,
  }
  #programs: Readonly<Record<string, MemoryProgram>>
  #sandboxes = new Map<string, MemorySandbox>()
  #layers = new Map<string, MemoryLayer>()
  #epochs = new Map<string, number>()
  #events = new Audience<ProviderEvent>()

  constructor(options: { programs?: Readonly<Record<string, MemoryProgram>> } = {}) {
    this.#programs = options.programs ?? {}
  }

  async create(spec: SandboxSpec, fence: Fence): Promise<Sandbox> {
    checkSandboxSpec(spec)
    requireOwnSoftware(spec, process.versions.node, this.name)
    this.#check(fence)
    const present = this.#sandboxes.get(spec.id)
    if (present !== undefined) return present
    const layers = spec.layers.map(id => this.#layer(id))
    const sandbox = new MemorySandbox({
      spec,
      programs: this.#programs,
      check: fence => this.#check(fence),
      onExit: exit => this.#events.tell({ kind: 'exited', sandboxId: spec.id, exit }),
      onDestroy: () => this.#sandboxes.delete(spec.id),
    })
    const over = new Map(layers.map(layer => [layer.id, layer.over]))
    for (const id of layersToCopy(spec.layers, id => over.get(id) ?? [])) sandbox.files.add(this.#layer(id).nodes)
    this.#sandboxes.set(spec.id, sandbox)
    sandbox.start()
    return sandbox
  }

  async get(id: string): Promise<Sandbox | undefined> {
    return this.#sandboxes.get(id)
  }

  async list(): Promise<SandboxInfo[]> {
    return Promise.all([...this.#sandboxes.values()].map(sandbox => sandbox.info()))
  }

  async captureLayer(sandboxId: string, layerId: string, fence: Fence): Promise<Layer> {
    this.#check(fence)
    const sandbox = this.#sandboxes.get(sandboxId)
    const present = await this.layer(layerId)
    if (sandbox === undefined) {
      if (present !== undefined) return present
      throw new SandboxNotFoundError(sandboxId)
    }
    await sandbox.end()
    const nodes = sandbox.files.snapshot()
    await sandbox.destroy(fence)
    if (present !== undefined) return present
    const sizeBytes = [...nodes.values()].reduce((sum, node) => sum + node.content.length, 0)
    this.#layers.set(layerId, { id: layerId, sizeBytes, over: sandbox.spec.layers, nodes })
    return { id: layerId, sizeBytes }
  }

  async layer(layerId: string): Promise<Layer | undefined> {
    const layer = this.#layers.get(layerId)
    return layer && { id: layer.id, sizeBytes: layer.sizeBytes }
  }

  async listLayers(): Promise<Layer[]> {
    return [...this.#layers.values()].map(({ id, sizeBytes }) => ({ id, sizeBytes }))
  }

  async removeLayer(layerId: string): Promise<void> {
    for (const { spec } of this.#sandboxes.values()) {
      if (spec.layers.includes(layerId)) throw new LayerInUseError(layerId)
    }
    this.#layers.delete(layerId)
  }

  events(signal: AbortSignal): AsyncIterable<ProviderEvent> {
    return this.#events.listen(signal)
  }

  async diagnose(): Promise<Diagnosis[]> {
    return []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#sandboxes.values()].map(sandbox => sandbox.end()))
    this.#sandboxes.clear()
  }

  #layer(id: string): MemoryLayer {
    const layer = this.#layers.get(id)
    if (layer === undefined) throw new LayerNotFoundError(id)
    return layer
  }

  #check({ key, epoch }: Fence): void {
    const current = this.#epochs.get(key) ?? 0
    if (epoch < current) throw new StaleEpochError(key, epoch, current)
    this.#epochs.set(key, epoch)
  }
}
