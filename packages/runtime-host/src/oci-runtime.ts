/** The program that makes containers. Which one is found out by making one. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { AppError } from '@coderunner/contract'
import { SandboxFailedError } from '@coderunner/runtime'
import { findProgram, systemEnvironment } from './kernel/system-programs.ts'

const run = promisify(execFile)
const COMMAND_TIMEOUT_MS = 30_000
const FIFO_TIMEOUT_MS = 10_000
/** The quicker one first. */
const CANDIDATES = ['crun', 'runc']

export class OciRuntime {
  readonly path: string
  readonly #stateDir: string

  constructor({ path, stateDir }: { path: string; stateDir: string }) {
    this.path = path
    this.#stateDir = stateDir
  }

  /** Lets a created container's program begin. @throws SandboxFailedError with the runtime's message */
  async start(id: string): Promise<void> {
    if (basename(this.path) === 'runc' && (await openExecFifo(join(this.#stateDir, id, 'exec.fifo')))) return
    try {
      await run(this.path, ['--root', this.#stateDir, 'start', id], {
        timeout: COMMAND_TIMEOUT_MS,
        env: systemEnvironment,
      })
    } catch (error) {
      throw runtimeError(error)
    }
  }
}

/**
 * What `runc start` does, without the 8 ms of running it: a created container waits to write into this fifo, and counts
 * as created as long as the fifo is there.
 * @returns false when there is no such fifo, or nobody writes: then runc itself knows more
 */
async function openExecFifo(path: string): Promise<boolean> {
  let fd: number
  try {
    // Without waiting: a container that has died would never open its end.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  const fifo = new Socket({ fd, readable: true, writable: false })
  try {
    await once(fifo, 'data', { signal: AbortSignal.timeout(FIFO_TIMEOUT_MS) })
  } catch {
    return false // ended, or failed: runc says why
  } finally {
    fifo.destroy()
  }
  rmSync(path, { force: true })
  return true
}

function runtimeError(error: unknown): SandboxFailedError {
  const { stderr = '', message } = error as Error & { stderr?: string }
  return new SandboxFailedError((stderr.trim() || message).slice(0, 1000), { cause: error })
}

/**
 * The first runtime on this machine with which `attempt` succeeds.
 * @param attempt makes and removes a container in the shape that sandboxes have
 * @throws AppError `unavailable` with every runtime's own words
 */
export async function chooseRuntime(attempt: (path: string) => Promise<void>): Promise<string> {
  const failures: string[] = []
  const causes: unknown[] = []
  for (const name of CANDIDATES) {
    const path = await findProgram(name)
    if (path === undefined) {
      failures.push(`${name} is not installed`)
      continue
    }
    try {
      await attempt(path)
      return path
    } catch (error) {
      causes.push(error)
      failures.push(`${path}: ${(error as Error).message}`)
    }
  }
  throw new AppError(
    'unavailable',
    `No container runtime works on this machine (apt install runc). ${failures.join('; ')}`,
    { cause: new AggregateError(causes) },
  )
}
