/**
 * A program of a base image's, run to prepare software: it sees that tree and what it is shown, the network of the
 * machine, and none of its processes. It ends with this process, whatever way that goes, and everything it started
 * with it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { SYSTEM_PATH } from '../kernel/system-programs.ts'
import type { JailOrder } from './enter-jail.ts'

export interface JailRun extends Omit<JailOrder, 'command' | 'args'> {
  /** The program's absolute path in there, and its arguments. */
  argv: readonly [string, ...string[]]
  env: Readonly<Record<string, string>>
  timeoutMs: number
  signal: AbortSignal
}

export interface JailResult {
  /** -1 when it was killed. */
  code: number
  stdout: string
  /** The last lines of both outputs, for error messages. */
  lastLines: readonly string[]
}

const LAUNCHER = fileURLToPath(new URL('./enter-jail.ts', import.meta.url))
const STDOUT_LIMIT = 16 * 1024 ** 2
const LAST_LINES = 40

/** Resolves when everything in there has ended. Throws the signal's reason when it was aborted. */
export async function runInJail({ argv, env, timeoutMs, signal, ...order }: JailRun): Promise<JailResult> {
  signal.throwIfAborted()
  const [command, ...args] = argv
  const launch = JSON.stringify({ ...order, command, args } satisfies JailOrder)
  const child = spawn(
    'setpriv',
    [
      '--pdeathsig=KILL',
      'unshare',
      '--pid',
      '--fork',
      '--kill-child',
      '--',
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      LAUNCHER,
      launch,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: SYSTEM_PATH, LC_ALL: 'C.UTF-8', ...env } },
  )
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  // The first process of a namespace of processes takes all of them with it.
  const end = (): void => void child.kill('SIGKILL')
  limit.addEventListener('abort', end, { once: true })
  try {
    const result = await resultOf(child)
    signal.throwIfAborted()
    return result
  } finally {
    limit.removeEventListener('abort', end)
  }
}

async function resultOf(child: ChildProcess): Promise<JailResult> {
  const lastLines: string[] = []
  let stdout = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    if (stdout.length < STDOUT_LIMIT) stdout += text
  })
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream as Readable }).on('line', line => {
      if (line.trim() === '') return
      lastLines.push(line.slice(0, 1000))
      if (lastLines.length > LAST_LINES) lastLines.shift()
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  return { code: code ?? -1, stdout, lastLines }
}
