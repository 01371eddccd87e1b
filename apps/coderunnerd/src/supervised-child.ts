import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { DirectoryLock } from '@coderunner/database'
import type { BoundedLog } from './bounded-log.ts'
import { LineSplitter, shownLine } from './log-line.ts'

/** What a child says of itself, once, when it can be used. */
export interface Announcement {
  port?: number
  /** Of the server: no account exists, and the first needs the set-up token. */
  setupRequired?: boolean
}

export interface SupervisedChildOptions {
  name: string
  /**
   * Starts it with pipes for stdin, stdout, stderr and descriptor 3, on which it announces itself, and `lockFd` as
   * descriptor 4.
   * @param last what it announced before, so that it takes the same port again
   */
  spawn: (lockFd: number, last: Announcement | undefined) => ChildProcess
  /**
   * Locked as long as the process lives, also when we do not: one that a killed supervisor left behind has its ports and
   * sockets until it has read the end of its stdin and finished.
   */
  lockFile: string
  log: BoundedLog
  /** A line for whoever watches. */
  report: (line: string) => void
  /** From the end of its stdin to SIGTERM, and as long again to SIGKILL. Default 15 s. */
  patienceMs?: number
}

/** It ended before it was ready for the first time. */
export class ChildFailedError extends Error {
  constructor(name: string, lastLines: readonly string[], how: string) {
    super([`The ${name} did not start (${how}).`, ...lastLines].join('\n'))
    this.name = 'ChildFailedError'
  }
}

const firstBackoffMs = 100
const maxBackoffMs = 5000
/** A child that ran this long has started well: what ended it is a new trouble. */
const settledMs = 10_000
/** For a predecessor that finishes what it has begun. */
const predecessorMs = 30_000
const keptLines = 20
const maxAnnouncementBytes = 64 * 1024

/**
 * A process that is started again when it ends, until it is stopped. Its stdin is a pipe that we hold open: when we end,
 * even by SIGKILL, it reads the end of it and ends as well.
 */
export class SupervisedChild implements AsyncDisposable {
  readonly #options: SupervisedChildOptions
  readonly #stopping = new AbortController()
  readonly #ready = Promise.withResolvers<void>()
  #announcement: Announcement | undefined
  #child: ChildProcess | undefined
  #finished: Promise<void> | undefined

  private constructor(options: SupervisedChildOptions) {
    this.#options = options
  }

  /** Resolves when it has announced itself. @throws ChildFailedError */
  static async start(options: SupervisedChildOptions): Promise<SupervisedChild> {
    const child = new SupervisedChild(options)
    child.#finished = child.#keepRunning()
    await child.#ready.promise
    return child
  }

  get announcement(): Announcement {
    return this.#announcement ?? {}
  }

  /** Undefined between an end and the start that follows. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  async #keepRunning(): Promise<void> {
    const { name, report } = this.#options
    let backoffMs = firstBackoffMs
    while (!this.#stopping.signal.aborted) {
      const startedAt = Date.now()
      const { how, lastLines } = await this.#runOnce().catch((error: Error) => ({ how: error.message, lastLines: [] }))
      if (this.#stopping.signal.aborted) break
      if (this.#announcement === undefined) {
        this.#ready.reject(new ChildFailedError(name, lastLines, how))
        return
      }
      if (Date.now() - startedAt > settledMs) backoffMs = firstBackoffMs
      report(`${name} ended (${how}); it is started again in ${backoffMs / 1000} s`)
      await delay(backoffMs, undefined, { signal: this.#stopping.signal }).catch(() => {})
      backoffMs = Math.min(backoffMs * 2, maxBackoffMs)
    }
    this.#ready.reject(new Error(`${name} was stopped before it was ready`))
  }

  async #runOnce(): Promise<{ how: string; lastLines: string[] }> {
    const { name, log, report } = this.#options
    const { signal } = this.#stopping
    using lock = await DirectoryLock.acquireSoon(this.#options.lockFile, { timeoutMs: predecessorMs, signal })
    const child = this.#options.spawn(lock.fd, this.#announcement)
    lock[Symbol.dispose]()
    this.#child = child
    child.stdin?.on('error', () => {}) // it ended first
    const ended = Promise.withResolvers<string>()
    child.once('error', error => ended.resolve(error.message))
    child.once('exit', (code, signal) => ended.resolve(signal ?? `exit code ${code}`))
    const lastLines: string[] = []
    const show = (line: string): void => {
      const shown = shownLine(line)
      if (shown === undefined) return
      lastLines.push(shown)
      if (lastLines.length > keptLines) lastLines.shift()
      if (this.#announcement !== undefined) report(`${name}: ${shown}`)
    }
    const follow = async (stream: Readable | null): Promise<void> => {
      const lines = new LineSplitter()
      for await (const chunk of stream ?? []) {
        for (const line of lines.split(chunk as Buffer)) show(line)
        await log.write(chunk as Buffer)
      }
      show(lines.rest)
    }
    const followed = Promise.all([follow(child.stdout), follow(child.stderr)]).catch(() => {})
    this.#hear(child.stdio[3] as Readable | null | undefined)
    const how = await ended.promise
    await followed
    this.#child = undefined
    return { how, lastLines }
  }

  #hear(stream: Readable | null | undefined): void {
    let content = ''
    stream?.setEncoding('utf8').on('error', () => {}) // it ended; its exit tells
    stream?.on('data', (chunk: string) => {
      content += chunk
      if (!content.includes('\n') && content.length < maxAnnouncementBytes) return
      stream.destroy()
      this.#announcement = parseAnnouncement(content) ?? this.#announcement
      if (this.#announcement !== undefined) this.#ready.resolve()
    })
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    const child = this.#child
    const finished = (this.#finished ?? Promise.resolve()).then(() => true)
    this.#ready.promise.catch(() => {})
    child?.stdin?.end()
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const patience = new AbortController()
      const late = delay(this.#options.patienceMs ?? 15_000, false, { signal: patience.signal }).catch(() => false)
      const isFinished = await Promise.race([finished, late])
      patience.abort()
      if (isFinished) return
      child?.kill(signal)
    }
    await finished
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

function parseAnnouncement(content: string): Announcement | undefined {
  try {
    const { ready, port, setupRequired } = JSON.parse(content) as Record<string, unknown>
    if (ready !== true) return undefined
    return {
      ...(Number.isInteger(port) ? { port: port as number } : {}),
      ...(typeof setupRequired === 'boolean' ? { setupRequired } : {}),
    }
  } catch {
    return undefined // a broken child's last words
  }
}
