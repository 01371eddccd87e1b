import { join } from 'node:path'
import { AgentClient } from '@coderunner/agent'
import {
  type Fence,
  type ListeningPort,
  NotSupportedError,
  type OutputChunk,
  type ProcessSpec,
  type Sandbox,
  type SandboxExit,
  type SandboxFiles,
  type SandboxInfo,
  SandboxNotFoundError,
  type SandboxProcess,
  type Usage,
} from '@coderunner/runtime'
import { Pool } from 'undici'
import { treeBytes } from './copy-tree.ts'
import { spoolName } from './holder-job.ts'
import { HolderLink } from './holder-link.ts'
import { listeningPorts } from './listening-ports.ts'
import { killSandbox, processUsage, sandboxProcesses } from './process-tree.ts'
import type { SandboxRecord } from './sandbox-record.ts'
import { acknowledgeSpool, readSpool } from './spool-reader.ts'

export const providerName = 'process'
export const agentSocket = 'agent.sock'
export const holderSocket = 'holder.sock'

/** What a sandbox asks of its provider. */
export interface SandboxOwner {
  check(fence: Fence): Promise<void>
  destroy(id: string): Promise<void>
}

export class ProcessSandbox implements Sandbox {
  readonly id: string
  readonly record: SandboxRecord
  readonly directory: string
  /** Resolves when everything in it has ended. */
  readonly ended: Promise<SandboxExit>
  #owner: SandboxOwner
  #link: HolderLink
  #pool: Pool
  #agent: AgentClient
  #exit: SandboxExit | undefined
  #gone = false
  #released = new AbortController()

  /** Of a record whose holder has been started, whether it still lives or not. */
  static async adopt(options: {
    record: SandboxRecord
    directory: string
    owner: SandboxOwner
    onExit: (exit: SandboxExit) => Promise<void>
  }): Promise<ProcessSandbox> {
    const { record, directory } = options
    const link = await HolderLink.connect({ directory, socketPath: join(record.socketDir, holderSocket) })
    const sandbox = new ProcessSandbox({ ...options, link })
    // A sandbox that has ended shows it from the beginning.
    if (!link.alive) await sandbox.ended
    return sandbox
  }

  private constructor(options: {
    record: SandboxRecord
    directory: string
    owner: SandboxOwner
    link: HolderLink
    onExit: (exit: SandboxExit) => Promise<void>
  }) {
    const { record, directory, owner, link, onExit } = options
    this.id = record.spec.id
    this.record = record
    this.directory = directory
    this.#owner = owner
    this.#link = link
    this.#pool = new Pool('http://agent', { connect: { socketPath: join(record.socketDir, agentSocket) } })
    this.#agent = new AgentClient({ dispatcher: this.#pool, prefix: '' })
    this.#exit = record.exit
    this.ended = link.ended.then(async found => {
      const exit = record.exit ?? found
      await killSandbox(this.id, undefined)
      this.#exit = exit
      if (record.exit === undefined && !this.#gone) await onExit(exit)
      return exit
    })
  }

  get appDir(): string {
    return join(this.directory, 'app')
  }

  get files(): SandboxFiles {
    this.#known()
    if (this.record.spec.main.kind === 'command') throw new NotSupportedError('Files beside a command', providerName)
    return this.#agent.files
  }

  async info(): Promise<SandboxInfo> {
    this.#known()
    const { id, group, labels } = this.record.spec
    return {
      id,
      group,
      labels,
      status: this.#exit === undefined ? 'running' : 'exited',
      address: '127.0.0.1',
      appDir: this.appDir,
      createdAt: new Date(this.record.createdAt),
      ...(this.#exit !== undefined && { exit: this.#exit }),
    }
  }

  async run(spec: ProcessSpec): Promise<SandboxProcess> {
    this.#known()
    if (this.record.spec.main.kind === 'command')
      throw new NotSupportedError('A program beside a command', providerName)
    return this.#agent.run(spec)
  }

  output(options: { offset: number; signal: AbortSignal }): AsyncIterable<OutputChunk> {
    this.#known()
    const signal = AbortSignal.any([options.signal, this.#released.signal])
    return readSpool({ ...options, signal, directory: join(this.directory, spoolName), ended: this.ended })
  }

  async acknowledgeOutput(offset: number): Promise<void> {
    this.#known()
    await acknowledgeSpool(join(this.directory, spoolName), offset)
  }

  async ports(): Promise<ListeningPort[]> {
    return listeningPorts(await this.#processes())
  }

  /** Of the processes that live now. Where there is no /proc only their number and the disk are known. */
  async usage(): Promise<Usage> {
    const pids = await this.#processes()
    const used = await Promise.all(pids.map(processUsage))
    return {
      memoryBytes: used.reduce((sum, one) => sum + one.memoryBytes, 0),
      cpuSeconds: used.reduce((sum, one) => sum + one.cpuSeconds, 0),
      pids: pids.length,
      diskBytes: await treeBytes(this.appDir).catch(() => 0),
    }
  }

  async stop(fence: Fence, { graceMs }: { graceMs: number }): Promise<SandboxExit> {
    await this.#owner.check(fence)
    this.#known()
    return this.end(graceMs)
  }

  async pause(fence: Fence): Promise<void> {
    await this.#owner.check(fence)
    throw new NotSupportedError('Pausing', providerName)
  }

  async resume(fence: Fence): Promise<void> {
    await this.#owner.check(fence)
    throw new NotSupportedError('Pausing', providerName)
  }

  async destroy(fence: Fence): Promise<void> {
    await this.#owner.check(fence)
    await this.#owner.destroy(this.id)
  }

  /** Ends every process of it; without a grace at once. */
  async end(graceMs: number): Promise<SandboxExit> {
    if (graceMs > 0) this.#link.signal('SIGTERM')
    const kill = (): void => {
      this.#link.signal('SIGKILL')
      // Also those that have left the main program's group.
      void killSandbox(this.id, this.record.holder)
    }
    const deadline = setTimeout(kill, graceMs)
    try {
      return await this.ended
    } finally {
      clearTimeout(deadline)
    }
  }

  /** Nothing of it can be asked any more. */
  async retire(): Promise<void> {
    this.#gone = true
    await this.release()
  }

  /** Lets go of it; it runs on. */
  async release(): Promise<void> {
    this.#released.abort()
    this.#link[Symbol.dispose]()
    await this.#pool.destroy()
  }

  async #processes(): Promise<number[]> {
    this.#known()
    const { holder } = this.record
    if (this.#exit !== undefined) return []
    return (await sandboxProcesses(this.id, holder)).filter(pid => pid !== holder)
  }

  #known(): void {
    if (this.#gone) throw new SandboxNotFoundError(this.id)
  }
}
