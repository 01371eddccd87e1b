import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SandboxExit } from '@coderunner/runtime'
import { exitName, type HolderExit, type HolderJob } from './holder-job.ts'
import { readJsonFile } from './json-file.ts'

/** Starts a holder and gives its pid; the main program runs, or has failed to, when this resolves. */
export async function startHolder(options: {
  nodePath: string
  compileCache: string
  job: HolderJob
}): Promise<number> {
  const { nodePath, compileCache, job } = options
  const entry = fileURLToPath(new URL('./holder.ts', import.meta.url))
  const holder = spawn(nodePath, [entry], {
    cwd: job.directory,
    env: { NODE_COMPILE_CACHE: compileCache },
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const ended = once(holder, 'exit').then(() => {
    throw new Error('The process that holds the sandbox ended before it began.')
  })
  holder.stdin.on('error', () => undefined)
  holder.stdin.end(JSON.stringify(job))
  await Promise.race([once(holder.stdout, 'data'), ended])
  ended.catch(() => undefined)
  holder.stdout.destroy()
  holder.unref()
  if (holder.pid === undefined) throw new Error('The process that holds the sandbox has no number.')
  return holder.pid
}

/** A connection to a holder, which lasts exactly as long as the holder does. */
export class HolderLink implements Disposable {
  /** Resolves when the holder has ended, with what it left as the exit. */
  readonly ended: Promise<SandboxExit>
  #socket: Socket | undefined
  #released = false

  static async connect(options: { directory: string; socketPath: string }): Promise<HolderLink> {
    const socket = createConnection(options.socketPath)
    socket.on('error', () => undefined)
    const connected = await new Promise<boolean>(resolve => {
      socket.once('connect', () => resolve(true)).once('close', () => resolve(false))
    })
    return new HolderLink(options.directory, connected ? socket : undefined)
  }

  private constructor(directory: string, socket: Socket | undefined) {
    this.#socket = socket
    const closed = new Promise<void>(resolve => {
      if (socket === undefined) resolve()
      else socket.once('close', () => this.#released || resolve())
    })
    this.ended = closed.then(async () => {
      const exit = await readJsonFile<HolderExit>(join(directory, exitName))
      return { code: exit?.code ?? -1, outOfMemory: false }
    })
  }

  get alive(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed
  }

  signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    this.#socket?.write(`${signal}\n`)
  }

  /** Lets go of it without ending it; `ended` will not be known then. */
  [Symbol.dispose](): void {
    this.#released = true
    this.#socket?.destroy()
  }
}
