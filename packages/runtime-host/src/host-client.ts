/**
 * The host provider as the server has it: through the daemon's socket. A call made while the daemon is away fails with
 * the code `unavailable`; the next one finds it when it is back.
 */
import type { Readable } from 'node:stream'
import { AgentClient } from '@coderunner/agent'
import {
  type Capabilities,
  type Diagnosis,
  type Fence,
  type Layer,
  type ListeningPort,
  NotSupportedError,
  type OutputChunk,
  type ProcessSpec,
  type ProviderEvent,
  type Sandbox,
  type SandboxExit,
  type SandboxFiles,
  type SandboxInfo,
  type SandboxProcess,
  type SandboxProvider,
  type SandboxSpec,
  type Usage,
} from '@coderunner/runtime'
import { DaemonLink } from './daemon-link.ts'
import { HOST_CAPABILITIES, PROVIDER_NAME } from './host-capabilities.ts'
import type { WireSandbox } from './host-wire.ts'
import { refusedFiles } from './refused-files.ts'

export class HostClient implements SandboxProvider {
  readonly name = PROVIDER_NAME
  readonly capabilities: Capabilities = HOST_CAPABILITIES
  readonly #link: DaemonLink
  /** Requests for events on their way: `list` waits for them, so that nothing happens unseen between the two. */
  readonly #registering = new Set<Promise<unknown>>()

  constructor({ socketPath }: { socketPath: string }) {
    this.#link = new DaemonLink(socketPath)
  }

  async create(spec: SandboxSpec, fence: Fence): Promise<Sandbox> {
    const made = await this.#link.json<WireSandbox>('POST', '/sandboxes', { spec, fence })
    return new RemoteSandbox(this.#link, made)
  }

  async get(id: string): Promise<Sandbox | undefined> {
    const found = await this.#link.find<WireSandbox>(`/sandboxes/${encodeURIComponent(id)}`)
    return found && new RemoteSandbox(this.#link, found)
  }

  async list(): Promise<SandboxInfo[]> {
    await Promise.allSettled(this.#registering)
    return (await this.#link.json<WireSandbox[]>('GET', '/sandboxes')).map(infoOf)
  }

  async captureLayer(sandboxId: string, layerId: string, fence: Fence): Promise<Layer> {
    return this.#link.json('POST', `/sandboxes/${encodeURIComponent(sandboxId)}/capture`, { layerId, fence })
  }

  async layer(layerId: string): Promise<Layer | undefined> {
    return this.#link.find(`/layers/${encodeURIComponent(layerId)}`)
  }

  async listLayers(): Promise<Layer[]> {
    return this.#link.json('GET', '/layers')
  }

  async removeLayer(layerId: string): Promise<void> {
    await this.#link.json('DELETE', `/layers/${encodeURIComponent(layerId)}`)
  }

  events(signal: AbortSignal): AsyncIterable<ProviderEvent> {
    const registered = this.#link.open('/events', signal)
    this.#registering.add(registered)
    void registered.finally(() => this.#registering.delete(registered)).catch(() => {}) // told to the reader
    return this.#link.values<ProviderEvent>(() => registered, signal, { endless: true })
  }

  async diagnose(): Promise<Diagnosis[]> {
    return this.#link.json('GET', '/diagnosis')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link[Symbol.asyncDispose]()
  }
}

class RemoteSandbox implements Sandbox {
  readonly id: string
  readonly files: SandboxFiles
  readonly #link: DaemonLink
  readonly #path: string
  readonly #agent: AgentClient | undefined

  constructor(link: DaemonLink, { info: { id }, mainKind }: WireSandbox) {
    this.id = id
    this.#link = link
    this.#path = `/sandboxes/${id}`
    if (mainKind === 'agent') {
      this.#agent = new AgentClient({ dispatcher: link.dispatcher, prefix: `${this.#path}/agent` })
    }
    this.files = this.#agent?.files ?? refusedFiles(PROVIDER_NAME)
  }

  async info(): Promise<SandboxInfo> {
    return infoOf(await this.#link.json<WireSandbox>('GET', this.#path))
  }

  async run(process: ProcessSpec): Promise<SandboxProcess> {
    if (this.#agent === undefined) throw new NotSupportedError('Running programs beside a main command', PROVIDER_NAME)
    return this.#agent.run(process)
  }

  output({ offset, signal }: { offset: number; signal: AbortSignal }): AsyncIterable<OutputChunk> {
    const open = (): Promise<Readable> => this.#link.open(`${this.#path}/output?offset=${offset}`, signal)
    return this.#link.values<OutputChunk>(open, signal, { endless: false })
  }

  async acknowledgeOutput(offset: number): Promise<void> {
    await this.#link.json('POST', `${this.#path}/output/acknowledge`, { offset })
  }

  async ports(): Promise<ListeningPort[]> {
    return this.#link.json('GET', `${this.#path}/ports`)
  }

  async usage(): Promise<Usage> {
    return this.#link.json('GET', `${this.#path}/usage`)
  }

  async stop(fence: Fence, { graceMs }: { graceMs: number }): Promise<SandboxExit> {
    return this.#link.json('POST', `${this.#path}/stop`, { fence, graceMs })
  }

  async pause(fence: Fence): Promise<void> {
    await this.#link.json('POST', `${this.#path}/pause`, { fence })
  }

  async resume(fence: Fence): Promise<void> {
    await this.#link.json('POST', `${this.#path}/resume`, { fence })
  }

  async destroy(fence: Fence): Promise<void> {
    await this.#link.json('POST', `${this.#path}/destroy`, { fence })
  }
}

const infoOf = ({ info }: WireSandbox): SandboxInfo => ({ ...info, createdAt: new Date(info.createdAt) })
