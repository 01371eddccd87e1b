import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { constants } from 'node:os'
import { PassThrough } from 'node:stream'
import { AppError } from '@coderunner/contract'
import { NotSupportedError } from '../errors.ts'
import { Mailbox } from '../mailbox.ts'
import type { ListeningPort, ProcessEvent, ProcessExit, SandboxFiles, SandboxProcess } from '../sandbox.ts'
import type { MemoryProgram } from './memory-program.ts'

let pids = 1

export interface MemoryProcessOrder {
  program: MemoryProgram
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  files: SandboxFiles
  stdin: boolean
  timeoutMs?: number
}

export class MemoryProcess implements SandboxProcess {
  readonly pid = ++pids
  #events = new Mailbox<ProcessEvent>()
  #exit = Promise.withResolvers<ProcessExit>()
  #over = false
  #stdin = new PassThrough()
  #terminated = new AbortController()
  #servers = new Map<Server, ListeningPort>()
  #deadline: NodeJS.Timeout | undefined

  constructor(order: MemoryProcessOrder) {
    if (!order.stdin) this.#stdin.end()
    if (order.timeoutMs !== undefined) this.#deadline = setTimeout(() => this.#end('SIGKILL', true), order.timeoutMs)
    void this.#run(order)
  }

  get ports(): ListeningPort[] {
    return [...this.#servers.values()].sort((a, b) => a.port - b.port)
  }

  output(): AsyncIterable<ProcessEvent> {
    return this.#events.read()
  }

  get exit(): Promise<ProcessExit> {
    return this.#exit.promise
  }

  async write(data: Buffer): Promise<void> {
    if (this.#stdin.writableEnded) throw new AppError('conflict', 'The stdin of the process is closed.')
    this.#stdin.write(data)
  }

  async closeStdin(): Promise<void> {
    this.#stdin.end()
  }

  async resize(): Promise<void> {
    throw new NotSupportedError('A terminal', 'memory')
  }

  async kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGINT' = 'SIGKILL'): Promise<void> {
    if (this.#over) return
    if (signal === 'SIGKILL') this.#end('SIGKILL', false)
    else this.#terminated.abort(signal)
  }

  async #run(order: MemoryProcessOrder): Promise<void> {
    const emit = (stream: 'stdout' | 'stderr', data: string | Buffer): void => {
      if (!this.#over) this.#events.push({ stream, data: Buffer.from(data) })
    }
    try {
      const code = await order.program({
        argv: order.argv,
        env: order.env,
        cwd: order.cwd,
        files: order.files,
        stdin: this.#stdin,
        stdout: data => emit('stdout', data),
        stderr: data => emit('stderr', data),
        signal: this.#terminated.signal,
        serve: (listener, { bound = 'any' } = {}) => this.#serve(listener, bound),
      })
      this.#end(code, false)
    } catch (error) {
      emit('stderr', `${error instanceof Error ? error.stack : String(error)}\n`)
      this.#end(1, false)
    }
  }

  async #serve(listener: RequestListener, bound: 'any' | 'loopback'): Promise<number> {
    const server = createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    if (this.#over) server.close()
    else this.#servers.set(server, { port, bound })
    return port
  }

  #end(how: number | 'SIGKILL', timedOut: boolean): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#deadline)
    for (const server of this.#servers.keys()) {
      server.close()
      server.closeAllConnections()
    }
    this.#servers.clear()
    this.#stdin.destroy()
    this.#events.end()
    const exit = typeof how === 'number' ? { code: how } : { code: 128 + constants.signals[how], signal: how }
    this.#exit.resolve({ ...exit, timedOut })
  }
}
