import { stat, statfs } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { AgentClient } from '@coderunner/agent'
import { AppError } from '@coderunner/contract'
import {
  type Fence,
  type ListeningPort,
  NotSupportedError,
  type OutputChunk,
  type ProcessSpec,
  type Sandbox,
  type SandboxExit,
  SandboxFailedError,
  type SandboxFiles,
  type SandboxInfo,
  SandboxNotFoundError,
  type SandboxProcess,
  type Usage,
} from '@coderunner/runtime'
import type { Pool } from 'undici'
import { agentDispatcher } from './agent-connection.ts'
import type { SandboxCgroup } from './cgroup.ts'
import { reopenLog } from './conmon.ts'
import { PROVIDER_NAME } from './host-capabilities.ts'
import type { SandboxPaths } from './instance.ts'
import { exposeLoopback, listeningPorts } from './network/listening-ports.ts'
import { OutputSpool } from './output-spool.ts'
import { isAlive, type ProcessIdentity, signal } from './process-identity.ts'
import { refusedFiles } from './refused-files.ts'
import { APP_DIR } from './root-files.ts'
import type { SandboxRecord } from './sandbox-store.ts'

/** After SIGKILL to everything: until conmon has told. */
const KILL_TIMEOUT_MS = 20_000

/** How a sandbox's orders get through: one at a time, and only those of who may give them. */
export interface SandboxOrders {
  run<T>(id: string, fence: Fence, order: () => Promise<T>): Promise<T>
  destroy(id: string, fence: Fence): Promise<void>
  /** Takes note of an end nobody saw. */
  vanished(sandbox: HostSandbox): void
}

export interface HostSandboxParts {
  record: SandboxRecord & Required<Pick<SandboxRecord, 'running'>>
  paths: SandboxPaths
  cgroup: SandboxCgroup
  address: string
  gateway: string
  orders: SandboxOrders
}

export class HostSandbox implements Sandbox {
  readonly id: string
  readonly record: HostSandboxParts['record']
  readonly files: SandboxFiles
  readonly #parts: HostSandboxParts
  readonly #spool: OutputSpool
  readonly #dispatcher: Pool | undefined
  readonly #agent: AgentClient | undefined
  readonly #ended = Promise.withResolvers<SandboxExit>()
  #exposed = ''
  #isGone = false

  constructor(parts: HostSandboxParts) {
    this.#parts = parts
    this.record = parts.record
    this.id = parts.record.spec.id
    this.#spool = OutputSpool.open({ directory: parts.paths.output, reopen: () => reopenLog(parts.paths.bundle) })
    if (this.record.exit !== undefined) this.end(this.record.exit)
    if (this.record.spec.main.kind === 'agent') {
      this.#dispatcher = agentDispatcher(parts.paths.agent)
      this.#agent = new AgentClient({ dispatcher: this.#dispatcher, prefix: '' })
    }
    this.files = this.#agent?.files ?? refusedFiles(PROVIDER_NAME)
  }

  /** It has been destroyed or captured, or is being so. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** For requests that are to be handed on to the agent as they are. */
  get agentDispatcher(): Pool {
    if (this.#dispatcher === undefined || this.#isGone) throw this.#refusal()
    return this.#dispatcher
  }

  async info(): Promise<SandboxInfo> {
    return this.describe()
  }

  describe(): SandboxInfo {
    if (this.#isGone) throw new SandboxNotFoundError(this.id)
    const { spec, exit, createdAt } = this.record
    const running = this.#parts.cgroup.isFrozen() ? 'paused' : 'running'
    return {
      id: this.id,
      group: spec.group,
      labels: spec.labels,
      status: exit === undefined ? running : 'exited',
      address: this.#parts.address,
      appDir: APP_DIR,
      createdAt: new Date(createdAt),
      ...(exit === undefined ? {} : { exit }),
    }
  }

  async run(process: ProcessSpec): Promise<SandboxProcess> {
    if (this.#agent === undefined || this.#isGone) throw this.#refusal()
    return this.#agent.run(process)
  }

  output(options: { offset: number; signal: AbortSignal }): AsyncIterable<OutputChunk> {
    if (this.#isGone) throw new SandboxNotFoundError(this.id)
    return this.#spool.read(options)
  }

  async acknowledgeOutput(offset: number): Promise<void> {
    this.#spool.acknowledge(offset)
  }

  async ports(): Promise<ListeningPort[]> {
    if (this.#isGone) throw new SandboxNotFoundError(this.id)
    if (this.record.exit !== undefined) return []
    const { pid } = this.#main
    const ports = await listeningPorts(pid).catch((error: NodeJS.ErrnoException) => {
      // Ended meanwhile.
      if (error.code === 'ENOENT' || error.code === 'ESRCH' || error.code === 'EINVAL') return []
      throw error
    })
    const loopback = ports.filter(({ bound }) => bound === 'loopback').map(({ port }) => port)
    if (loopback.join() !== this.#exposed) {
      await exposeLoopback(pid, this.#parts.gateway, loopback)
      this.#exposed = loopback.join()
    }
    return ports
  }

  async usage(): Promise<Usage> {
    if (this.#isGone) throw new SandboxNotFoundError(this.id)
    return { ...this.#parts.cgroup.usage(), diskBytes: await this.#diskBytes() }
  }

  stop(fence: Fence, { graceMs }: { graceMs: number }): Promise<SandboxExit> {
    return this.#order(fence, async () => {
      const { exit } = this.record
      if (exit !== undefined) return exit
      signal(this.#main, 'SIGTERM')
      if (this.#parts.cgroup.isFrozen()) this.#parts.cgroup.thaw()
      return (await this.#endWithin(graceMs)) ?? this.kill()
    })
  }

  pause(fence: Fence): Promise<void> {
    return this.#order(fence, async () => {
      this.#requireRunning('paused')
      await this.#parts.cgroup.freeze()
    })
  }

  resume(fence: Fence): Promise<void> {
    return this.#order(fence, async () => {
      this.#requireRunning('resumed')
      this.#parts.cgroup.thaw()
    })
  }

  destroy(fence: Fence): Promise<void> {
    return this.#parts.orders.destroy(this.id, fence)
  }

  /** SIGKILL to everything in the container; resolves with the exit. */
  async kill(): Promise<SandboxExit> {
    this.#parts.cgroup.kill()
    // Without its conmon nobody will tell.
    const seen = await this.#endWithin(isAlive(this.record.running.conmon) ? KILL_TIMEOUT_MS : 0)
    if (seen !== undefined) return seen
    this.#parts.orders.vanished(this)
    return this.#ended.promise
  }

  /** Called once, by who sees it. */
  end(exit: SandboxExit): void {
    this.record.exit = exit
    this.#spool.end()
    this.#ended.resolve(exit)
  }

  /** Whether the kernel has killed a process for want of memory. */
  ranOutOfMemory(): boolean {
    return this.#parts.cgroup.outOfMemory()
  }

  /** This handle is of no more use: the sandbox goes, or (with `isGone` false) only the provider does. */
  async close({ isGone }: { isGone: boolean }): Promise<void> {
    this.#isGone = isGone
    if (isGone) this.#spool.end()
    this.#spool[Symbol.dispose]()
    await this.#dispatcher?.destroy()
  }

  get #main(): ProcessIdentity {
    return this.record.running.main
  }

  #order<T>(fence: Fence, order: () => Promise<T>): Promise<T> {
    return this.#parts.orders.run(this.id, fence, async () => {
      if (this.#isGone) throw new SandboxNotFoundError(this.id)
      return order()
    })
  }

  async #endWithin(timeMs: number): Promise<SandboxExit | undefined> {
    const seen = new AbortController()
    const late = delay(timeMs, undefined, { signal: seen.signal }).catch(() => undefined)
    try {
      return await Promise.race([this.#ended.promise, late])
    } finally {
      seen.abort()
    }
  }

  async #diskBytes(): Promise<number> {
    const { disk, image } = this.#parts.paths
    try {
      const { blocks, bfree, bsize } = await statfs(disk)
      return (blocks - bfree) * bsize
    } catch (error) {
      // Not mounted any more since a reboot.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return (await stat(image)).blocks * 512
    }
  }

  #requireRunning(what: string): void {
    if (this.record.exit === undefined) return
    throw new AppError('action_not_allowed', `The sandbox has ended and cannot be ${what}.`)
  }

  #refusal(): AppError {
    if (this.#isGone) return new SandboxNotFoundError(this.id)
    if (this.record.spec.main.kind === 'agent') return new SandboxFailedError('The sandbox has no agent.')
    return new NotSupportedError('Running programs beside a main command', PROVIDER_NAME)
  }
}
