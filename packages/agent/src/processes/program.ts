/** The two ways a program is started, with pipes or on a terminal, behind one shape. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { AgentError } from '../agent-error.ts'
import { outputChunkBytes } from '../agent-wire.ts'
import type { ProcessOrder } from './process-order.ts'
import { Utf8Cutter } from './utf8-cutter.ts'

export type OutputStream = 'stdout' | 'stderr' | 'pty'

export interface ProgramEvents {
  onOutput(stream: OutputStream, data: Buffer): void
  /** The program itself has ended; what it has left in the background may still hold the pipes. */
  onExit(exit: { code: number; signal?: string }): void
  /** Nothing more will come. Follows `onExit` at once on a terminal. */
  onClose(): void
}

/** Leader of a session and process group of its own. */
export interface Program {
  readonly pid: number
  /** Resolves when the bytes were taken. */
  write(data: Buffer): Promise<void>
  closeStdin(): void
  resize(size: { cols: number; rows: number }): void
  pause(): void
  resume(): void
}

export async function startProgram(order: ProcessOrder, events: ProgramEvents): Promise<Program> {
  return order.pty === undefined ? startPiped(order, events) : startOnTerminal(order, order.pty, events)
}

async function startPiped(order: ProcessOrder, events: ProgramEvents): Promise<Program> {
  const [file, ...args] = order.argv
  let child: ChildProcess
  try {
    child = spawn(file, args, {
      cwd: order.cwd,
      env: order.env,
      detached: true,
      stdio: [order.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      ...order.ids,
    })
    if (child.pid === undefined) await once(child, 'spawn')
  } catch (cause) {
    throw startFailure(file, order.cwd, cause)
  }
  const { pid, stdin, stdout, stderr } = child
  if (pid === undefined || stdout === null || stderr === null) throw new Error('spawn gave neither a pid nor an error')
  forward(stdout, data => events.onOutput('stdout', data))
  forward(stderr, data => events.onOutput('stderr', data))
  // A program may close its stdin whenever it likes; `write` reports that to the one who writes.
  stdin?.on('error', () => undefined)
  child.once('exit', (code, signal) => events.onExit(signal === null ? { code: code ?? -1 } : signalExit(signal)))
  child.once('close', () => events.onClose())
  return {
    pid,
    write: data => {
      if (stdin === null || !stdin.writable) {
        return Promise.reject(new AgentError('conflict', 'The stdin of the process is closed.'))
      }
      return new Promise((resolve, reject) =>
        stdin.write(data, error => {
          if (error === null || error === undefined) resolve()
          else reject(new AgentError('conflict', 'The process has closed its stdin.', { cause: error }))
        }),
      )
    },
    closeStdin: () => {
      stdin?.end()
    },
    resize: () => {
      throw new AgentError('conflict', 'The process has no terminal.')
    },
    pause: () => {
      stdout.pause()
      stderr.pause()
    },
    resume: () => {
      stdout.resume()
      stderr.resume()
    },
  }
}

function forward(stream: Readable, onPiece: (data: Buffer) => void): void {
  const cutter = new Utf8Cutter()
  stream.on('data', (chunk: Buffer) => cutter.push(chunk).forEach(onPiece))
  stream.once('end', () => cutter.flush().forEach(onPiece))
}

async function startOnTerminal(
  order: ProcessOrder,
  size: { cols: number; rows: number },
  events: ProgramEvents,
): Promise<Program> {
  const { spawn: spawnPty } = await import('@lydell/node-pty')
  const [file, ...args] = order.argv
  const env = { TERM: 'xterm-256color', ...order.env }
  const pty = spawnPty(file, args, { ...size, cwd: order.cwd, env, encoding: null, name: env.TERM, ...order.ids })
  // With `encoding: null` the pieces are Buffers, whatever the declared type says.
  pty.onData(data => {
    const bytes = data as unknown as Buffer
    for (let at = 0; at < bytes.length; at += outputChunkBytes) {
      events.onOutput('pty', bytes.subarray(at, at + outputChunkBytes))
    }
  })
  pty.onExit(({ exitCode, signal }) => {
    const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0]
    events.onExit(signal === undefined || signal === 0 ? { code: exitCode } : signalExit(name ?? 'SIGKILL'))
    events.onClose()
  })
  return {
    pid: pty.pid,
    // Bytes are passed on to the terminal as they are, whatever the declared type says.
    write: async data => pty.write(data as unknown as string),
    closeStdin: () => pty.write('\u0004'),
    resize: ({ cols, rows }) => pty.resize(cols, rows),
    pause: () => pty.pause(),
    resume: () => pty.resume(),
  }
}

function signalExit(signal: string): { code: number; signal: string } {
  return { code: 128 + (constants.signals[signal as NodeJS.Signals] ?? 0), signal }
}

function startFailure(file: string, cwd: string, cause: unknown): AgentError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ENOENT') return new AgentError('invalid_request', `There is no program ${file}.`, { cause })
  if (code === 'EACCES') {
    return new AgentError('invalid_request', `${file} cannot be run in ${cwd}: permission denied.`, { cause })
  }
  if (code === 'E2BIG') {
    return new AgentError('too_large', `The arguments and the environment of ${file} are too long.`, { cause })
  }
  return new AgentError('conflict', `${file} did not start: ${String(cause)}`, { cause })
}
