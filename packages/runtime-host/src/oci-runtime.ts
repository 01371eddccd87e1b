/** The program that makes containers. Which one is found out by making one. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { AppError } from '@coderunner/contract'
import { SandboxFailedError } from '@coderunner/runtime'
import { findProgram, systemEnvironment } from './kernel/system-programs.ts'

const run = promisify(execFile)
const COMMAND_TIMEOUT_MS = 30_000
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
      failures.push(`${path}: ${(error as Error).message}`)
    }
  }
  throw new AppError(
    'unavailable',
    `No container runtime works on this machine (apt install runc). ${failures.join('; ')}`,
  )
}
