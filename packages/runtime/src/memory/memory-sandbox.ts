import { posix } from 'node:path'
import { AppError } from '@coderunner/contract'
import { NotSupportedError, SandboxNotFoundError } from '../errors.ts'
import type {
  Fence,
  ListeningPort,
  OutputChunk,
  ProcessSpec,
  Sandbox,
  SandboxExit,
  SandboxInfo,
  SandboxProcess,
  SandboxSpec,
  Usage,
} from '../sandbox.ts'
import { MemoryFiles } from './memory-files.ts'
import { MemoryLog } from './memory-log.ts'
import { MemoryProcess } from './memory-process.ts'
import { builtins, type MemoryProgram } from './memory-program.ts'

const appDir = '/app'

export class MemorySandbox implements Sandbox {
  readonly id: string
  readonly spec: SandboxSpec
  readonly #files = new MemoryFiles(appDir)
  #createdAt = new Date()
  #programs: Readonly<Record<string, MemoryProgram>>
  #processes = new Set<MemoryProcess>()
  #log = new MemoryLog()
  #main: MemoryProcess | undefined
  #ended = Promise.withResolvers<SandboxExit>()
  #exit: SandboxExit | undefined
  #gone = false
  #check: (fence: Fence) => void
  #onExit: (exit: SandboxExit) => void
  #onDestroy: () => void

  constructor(options: {
    spec: SandboxSpec
    programs: Readonly<Record<string, MemoryProgram>>
    check: (fence: Fence) => void
    onExit: (exit: SandboxExit) => void
    onDestroy: () => void
  }) {
    this.id = options.spec.id
    this.spec = options.spec
    this.#programs = options.programs
    this.#check = options.check
    this.#onExit = options.onExit
    this.#onDestroy = options.onDestroy
  }

  get files(): MemoryFiles {
    if (this.#gone) throw new SandboxNotFoundError(this.id)
    return this.#files
  }

  /** Starts the main process; its files are there already. */
  start(): void {
    const { main, env } = this.spec
    if (main.kind === 'agent') return
    const cwd = posix.resolve(appDir, main.cwd ?? '')
    const process = this.#spawn({ argv: main.argv, env: { ...env }, cwd, stdin: 'none' }, true)
    this.#main = process
    const logged = this.#log.follow(process.output())
    void process.exit.then(async ({ code }) => {
      await logged
      this.#finish({ code, outOfMemory: false })
    })
  }

  async info(): Promise<SandboxInfo> {
    this.#living()
    const { id, group, labels } = this.spec
    const status = this.#exit === undefined ? 'running' : 'exited'
    const exit = this.#exit === undefined ? {} : { exit: this.#exit }
    return { id, group, labels, status, address: '127.0.0.1', appDir, createdAt: this.#createdAt, ...exit }
  }

  async run(spec: ProcessSpec): Promise<SandboxProcess> {
    this.#living()
    if (this.spec.main.kind === 'command') throw new NotSupportedError('A program beside a main command', 'memory')
    if (spec.pty !== undefined) throw new NotSupportedError('A terminal', 'memory')
    if (spec.user === 'root') throw new NotSupportedError('Root', 'memory')
    if (this.#exit !== undefined) throw new AppError('conflict', 'The sandbox has been stopped.')
    const cwd = posix.resolve(appDir, spec.cwd ?? '')
    const about = await this.#files.stat(cwd).catch(() => undefined)
    if (about?.type !== 'directory') throw new AppError('invalid_request', `There is no directory ${cwd}.`)
    return this.#spawn({ ...spec, cwd, env: { ...this.spec.env, ...spec.env } }, false)
  }

  output(options: { offset: number; signal: AbortSignal }): AsyncIterable<OutputChunk> {
    return this.#log.read(options)
  }

  async acknowledgeOutput(offset: number): Promise<void> {
    this.#log.acknowledge(offset)
  }

  async ports(): Promise<ListeningPort[]> {
    return [...this.#processes].flatMap(process => process.ports)
  }

  async usage(): Promise<Usage> {
    return { memoryBytes: 0, cpuSeconds: 0, pids: this.#processes.size, diskBytes: 0 }
  }

  async stop(fence: Fence, { graceMs }: { graceMs: number }): Promise<SandboxExit> {
    this.#check(fence)
    this.#living()
    if (this.#main === undefined) {
      await this.end()
      this.#finish({ code: 0, outOfMemory: false })
    }
    await this.#main?.kill('SIGTERM')
    const deadline = setTimeout(() => void this.#main?.kill('SIGKILL'), graceMs)
    try {
      return await this.#ended.promise
    } finally {
      clearTimeout(deadline)
    }
  }

  async pause(fence: Fence): Promise<void> {
    this.#check(fence)
    throw new NotSupportedError('Pausing', 'memory')
  }

  async resume(fence: Fence): Promise<void> {
    this.#check(fence)
    throw new NotSupportedError('Pausing', 'memory')
  }

  async destroy(fence: Fence): Promise<void> {
    this.#check(fence)
    if (this.#gone) return
    await this.end()
    this.#gone = true
    this.#onDestroy()
  }

  /** SIGKILL to everything. */
  async end(): Promise<void> {
    await Promise.all([...this.#processes].map(process => process.kill('SIGKILL')))
    if (this.#main !== undefined) await this.#ended.promise
  }

  #living(): void {
    if (this.#gone) throw new SandboxNotFoundError(this.id)
  }

  #finish(exit: SandboxExit): void {
    if (this.#exit !== undefined) return
    this.#exit = exit
    this.#ended.resolve(exit)
    this.#onExit(exit)
  }

  /** A main program that is missing ends with 127, as a shell would; any other is refused. */
  #spawn(spec: ProcessSpec & { cwd: string }, main: boolean): MemoryProcess {
    const [name = '', file = ''] = spec.argv
    const found = name === 'node' ? this.#programs[posix.basename(file)] : (this.#programs[name] ?? builtins[name])
    if (found === undefined && !main) throw new AppError('invalid_request', `There is no program ${name} ${file}.`)
    const missing: MemoryProgram = async ({ stderr }) => {
      stderr(`There is no program ${name} ${file}.\n`)
      return 127
    }
    const process = new MemoryProcess({
      program: found ?? missing,
      argv: spec.argv,
      env: spec.env ?? {},
      cwd: spec.cwd,
      files: this.#files,
      stdin: spec.stdin === 'pipe',
      ...(spec.timeoutMs !== undefined && { timeoutMs: spec.timeoutMs }),
    })
    this.#processes.add(process)
    void process.exit.then(() => this.#processes.delete(process))
    return process
  }
}
