/**
 * conmon holds a container's output and waits for its end, whatever becomes of this process. It is told to wait before
 * it forks until it has been put in the sandbox's own control group: then everything it starts is found there.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { AppError } from '@coderunner/contract'
import { SandboxFailedError } from '@coderunner/runtime'
import { systemEnvironment } from './kernel/system-programs.ts'

/** The descriptors named to conmon; those before are its standard streams. */
const SYNC_FD = 3
const START_FD = 4
const CREATE_TIMEOUT_MS = 60_000
const ANSWER_LIMIT = 65_536
/** `2 0 0` on the control fifo: open the log file anew. */
const REOPEN_LOG = '2 0 0\n'

export interface ConmonOptions {
  id: string
  runtimePath: string
  /** The runtime's `--root`. */
  runtimeState: string
  bundle: string
  logPath: string
  /** Gets a file named like the container with its exit code. */
  exitDir: string
}

/** A conmon that waits for its order. Dispose it when it has been given, or will not be. */
export interface WaitingMonitor extends Disposable {
  /**
   * Creates the container, not yet started.
   * @throws SandboxFailedError with the runtime's message
   */
  createContainer(): Promise<{ mainPid: number; conmonPid: number }>
}

/**
 * Starts conmon, which takes a while, before there is anything to create.
 * @param enterGroup moves a process into the sandbox's control group
 */
export function startMonitor(options: ConmonOptions, enterGroup: (pid: number) => Promise<void>): WaitingMonitor {
  const { id, bundle } = options
  const pidFile = join(bundle, 'conmon.pid')
  const child = spawn(
    'conmon',
    Object.entries({
      '--api-version': '1',
      '--cid': id,
      '--cuuid': id,
      '--name': id,
      '--runtime': options.runtimePath,
      '--runtime-arg': `--root=${options.runtimeState}`,
      '--bundle': bundle,
      '--container-pidfile': join(bundle, 'pid'),
      '--conmon-pidfile': pidFile,
      '--log-path': `k8s-file:${options.logPath}`,
      '--log-level': 'warning',
      '--exit-dir': options.exitDir,
      '--persist-dir': bundle,
    })
      .flat()
      .concat('--full-attach'),
    {
      cwd: bundle,
      detached: true,
      env: { ...systemEnvironment, _OCI_SYNCPIPE: String(SYNC_FD), _OCI_STARTPIPE: String(START_FD) },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    },
  )
  const spawned = once(child, 'spawn').catch(cause => {
    throw new AppError('unavailable', 'conmon could not be run: apt install conmon', { cause })
  })
  const entered = child.pid === undefined ? undefined : enterGroup(child.pid)
  const isReady = Promise.all([spawned, entered])
  isReady.catch(() => {}) // told when it is needed
  const answers = child.stdio[SYNC_FD] as Readable
  const begin = child.stdio[START_FD] as Writable
  let isOrdered = false
  return {
    createContainer: async () => {
      await isReady
      isOrdered = true
      begin.end('\n')
      const { pid, message } = await readAnswer(child, answers)
      if (pid <= 0) throw new SandboxFailedError(message.slice(0, 1000))
      return { mainPid: pid, conmonPid: Number(readFileSync(pidFile, 'utf8')) }
    },
    [Symbol.dispose]: () => {
      // The end of the pipe would be an order to it.
      if (!isOrdered) child.kill('SIGKILL')
      answers.destroy()
      child.stderr?.destroy()
      child.unref()
    },
  }
}

async function readAnswer(child: ChildProcess, answers: Readable): Promise<{ pid: number; message: string }> {
  let complaint = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, ANSWER_LIMIT)
  })
  let answer = ''
  answers.setEncoding('utf8')
  const timeout = setTimeout(() => answers.destroy(new Error('conmon did not answer')), CREATE_TIMEOUT_MS)
  try {
    for await (const text of answers as AsyncIterable<string>) {
      answer += text
      if (answer.includes('\n') || answer.length > ANSWER_LIMIT) break
    }
  } finally {
    clearTimeout(timeout)
  }
  try {
    const { pid, data, message = '' } = JSON.parse(answer) as { pid?: number; data?: number; message?: string }
    return { pid: pid ?? data ?? -1, message: message.trim() || complaint.trim() || 'the container was not created' }
  } catch {
    return { pid: -1, message: complaint.trim() || `conmon ended without an answer (${answer.trim() || 'nothing'})` }
  }
}

/**
 * Tells a container's conmon that its log file was renamed away. It opens a file of the old name.
 * @returns false when conmon is no longer there to read the order
 */
export function reopenLog(bundle: string): boolean {
  let fifo: number
  try {
    fifo = openSync(join(bundle, 'ctl'), constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (['ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
  try {
    writeSync(fifo, REOPEN_LOG)
    return true
  } finally {
    closeSync(fifo)
  }
}
