import type { Readable } from 'node:stream'
import type { ProcessEvent, ProcessExit, SandboxProcess } from '@coderunner/runtime'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { frameBytes, type Signal } from '../agent-wire.ts'
import { type AgentLink, readLines, unreachable, untrusted } from './agent-link.ts'
import { OutputQueue } from './output-queue.ts'

const frame = Type.Union([
  Type.Object({ kind: Type.Literal('start'), pid: Type.Integer({ minimum: 1 }) }),
  Type.Object({
    kind: Type.Literal('data'),
    stream: Type.Union([Type.Literal('stdout'), Type.Literal('stderr'), Type.Literal('pty')]),
    data: Type.String(),
  }),
  Type.Object({
    kind: Type.Literal('end'),
    code: Type.Integer(),
    signal: Type.Optional(Type.String({ maxLength: 32 })),
    timedOut: Type.Boolean(),
  }),
])

/** A process at the other end of a stream of frames. */
export class AgentProcessClient implements SandboxProcess {
  readonly pid: number
  #link: AgentLink
  #output = new OutputQueue()
  #exit = Promise.withResolvers<ProcessExit>()
  /** Pieces of stdin go one after the other. */
  #written: Promise<void> = Promise.resolve()

  /** Resolves when the process runs. */
  static async attach(link: AgentLink, stream: Readable): Promise<AgentProcessClient> {
    const frames = readFrames(stream)
    const first = await frames.next()
    if (first.done === true || first.value.kind !== 'start') throw untrusted('a process without a beginning')
    return new AgentProcessClient(link, first.value.pid, frames)
  }

  private constructor(link: AgentLink, pid: number, frames: AsyncGenerator<Frame>) {
    this.#link = link
    this.pid = pid
    // Whoever does not ask for the exit has no interest in its failure.
    this.#exit.promise.catch(() => undefined)
    void this.#follow(frames)
  }

  output(): AsyncIterable<ProcessEvent> {
    return this.#output.read()
  }

  get exit(): Promise<ProcessExit> {
    this.#output.dropUnread()
    return this.#exit.promise
  }

  write(data: Buffer): Promise<void> {
    return this.#inOrder(() => this.#link.done({ method: 'POST', path: `processes/${this.pid}/stdin`, body: data }))
  }

  closeStdin(): Promise<void> {
    return this.#inOrder(() => this.#link.done({ method: 'DELETE', path: `processes/${this.pid}/stdin` }))
  }

  resize(size: { cols: number; rows: number }): Promise<void> {
    return this.#link.done({ method: 'PUT', path: `processes/${this.pid}/size`, json: size })
  }

  kill(signal: Signal = 'SIGKILL'): Promise<void> {
    return this.#link.done({ method: 'POST', path: `processes/${this.pid}/signal`, json: { signal } })
  }

  #inOrder(act: () => Promise<void>): Promise<void> {
    const done = this.#written.then(act)
    this.#written = done.catch(() => undefined)
    return done
  }

  async #follow(frames: AsyncGenerator<Frame>): Promise<void> {
    try {
      for await (const frame of frames) {
        if (frame.kind === 'data') {
          await this.#output.push({ stream: frame.stream, data: Buffer.from(frame.data, 'base64') })
        } else if (frame.kind === 'end') {
          const { code, signal, timedOut } = frame
          this.#output.end()
          this.#exit.resolve({ code, timedOut, ...(signal !== undefined && { signal }) })
          return
        }
      }
      throw untrusted('a process without an end')
    } catch (cause) {
      const failure = cause instanceof Error ? cause : unreachable(cause)
      this.#output.end(failure)
      this.#exit.reject(failure)
    }
  }
}

type Frame = Type.Static<typeof frame>

async function* readFrames(stream: Readable): AsyncGenerator<Frame> {
  const lines = readLines(stream, frameBytes)
  for (;;) {
    const next = await lines.next().catch((cause: unknown) => {
      throw unreachable(cause)
    })
    if (next.done === true) return
    let value: unknown
    try {
      value = JSON.parse(next.value)
    } catch (cause) {
      throw untrusted('no JSON', cause)
    }
    if (!Value.Check(frame, value)) throw untrusted('an unknown frame')
    yield value
  }
}
