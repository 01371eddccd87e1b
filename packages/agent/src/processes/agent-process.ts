/**
 * One process and those who read it. Readers are streams of frames: while one of them is full the process's pipes are
 * paused, so that a slow reader slows the process and memory stays what it is; without readers output is dropped.
 *
 * The end is told when the program has ended and its output is closed. Something it left in the background may hold the
 * pipes open for ever; then the end is told after half a second in which nothing came.
 */
import type { Writable } from 'node:stream'
import { AgentError } from '../agent-error.ts'
import type { ProcessFrame, ProcessListing, Signal } from '../agent-wire.ts'
import type { ProcessOrder } from './process-order.ts'
import { type OutputStream, type Program, startProgram } from './program.ts'
import { signalSession } from './session-signal.ts'

const silenceAfterExitMs = 500

export class AgentProcess {
  readonly listing: ProcessListing
  #program: Program
  #readers = new Set<Writable>()
  #full = new Set<Writable>()
  #exit: { code: number; signal?: string } | undefined
  #silence: NodeJS.Timeout | undefined
  #end: ProcessFrame | undefined
  #timedOut = false
  #deadline: NodeJS.Timeout | undefined
  #onEnd: (process: AgentProcess) => void

  /** Starts it; `reader` sees everything from the first byte on. */
  static async start(
    order: ProcessOrder,
    reader: Writable,
    onEnd: (process: AgentProcess) => void,
  ): Promise<AgentProcess> {
    // Output may come before `startProgram` has returned to us.
    const early: (() => void)[] = []
    let started: AgentProcess | undefined
    const later = (act: (process: AgentProcess) => void): void => {
      if (started === undefined) early.push(() => later(act))
      else act(started)
    }
    const program = await startProgram(order, {
      onOutput: (stream, data) => later(process => process.#output(stream, data)),
      onExit: exit => later(process => process.#exited(exit)),
      onClose: () => later(process => process.#finish()),
    })
    started = new AgentProcess(order, program, onEnd)
    started.attach(reader)
    for (const act of early) act()
    return started
  }

  private constructor(order: ProcessOrder, program: Program, onEnd: (process: AgentProcess) => void) {
    this.#program = program
    this.#onEnd = onEnd
    this.listing = {
      pid: program.pid,
      argv: order.argv,
      cwd: order.cwd,
      pty: order.pty !== undefined,
      startedAt: new Date().toISOString(),
    }
    if (order.timeoutMs !== undefined) {
      this.#deadline = setTimeout(() => {
        this.#timedOut = true
        // What may not be signalled (a set-uid program) ends when it ends, and is told as timed out all the same.
        signalSession(program.pid, 'SIGKILL').catch(() => undefined)
      }, order.timeoutMs)
    }
  }

  get ended(): boolean {
    return this.#end !== undefined
  }

  attach(reader: Writable): void {
    if (reader.destroyed) return
    reader.write(line({ kind: 'start', pid: this.#program.pid }))
    if (this.#end !== undefined) {
      reader.end(line(this.#end))
      return
    }
    this.#readers.add(reader)
    reader.on('drain', () => this.#emptied(reader))
    reader.once('close', () => {
      this.#readers.delete(reader)
      this.#emptied(reader)
    })
  }

  async write(data: Buffer): Promise<void> {
    await this.#alive().write(data)
  }

  closeStdin(): void {
    this.#alive().closeStdin()
  }

  resize(size: { cols: number; rows: number }): void {
    this.#alive().resize(size)
  }

  async signal(signal: Signal): Promise<void> {
    this.#alive()
    await signalSession(this.#program.pid, signal)
  }

  #alive(): Program {
    if (this.#end !== undefined) throw new AgentError('not_found', `Process ${this.#program.pid} has ended.`)
    return this.#program
  }

  #output(stream: OutputStream, data: Buffer): void {
    if (this.#end !== undefined || this.#readers.size === 0) return
    const frame = line({ kind: 'data', stream, data: data.toString('base64') })
    for (const reader of this.#readers) if (!reader.write(frame)) this.#full.add(reader)
    if (this.#full.size > 0) this.#program.pause()
    this.#awaitSilence()
  }

  #emptied(reader: Writable): void {
    if (!this.#full.delete(reader) || this.#full.size > 0) return
    this.#program.resume()
    this.#awaitSilence()
  }

  #exited(exit: { code: number; signal?: string }): void {
    clearTimeout(this.#deadline)
    this.#exit = exit
    this.#awaitSilence()
  }

  #awaitSilence(): void {
    clearTimeout(this.#silence)
    if (this.#exit === undefined || this.#full.size > 0) return
    this.#silence = setTimeout(() => this.#finish(), silenceAfterExitMs)
  }

  #finish(): void {
    if (this.#end !== undefined || this.#exit === undefined) return
    clearTimeout(this.#silence)
    this.#end = { kind: 'end', ...this.#exit, timedOut: this.#timedOut }
    for (const reader of this.#readers) reader.end(line(this.#end))
    this.#readers.clear()
    this.#full.clear()
    // Whatever still writes in the background is not to be stopped by a full pipe.
    this.#program.resume()
    this.#onEnd(this)
  }
}

function line(frame: ProcessFrame): string {
  return `${JSON.stringify(frame)}\n`
}
