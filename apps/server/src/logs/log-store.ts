import { mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import { idPattern, type LogRecord } from '@coderunner/contract'
import { type LogFilter, LogMatcher } from './log-filter.ts'
import type { LogEntry } from './log-line.ts'
import { type LogLimits, type Page, ProjectLog } from './project-log.ts'

export interface LogSearch extends LogFilter {
  /** The last N records that match (100); ignored when `cursor` is given. */
  lines?: number
  /** Records after this one, oldest first, 1,000 a page. */
  cursor?: number
  /** With `cursor`: wait up to this long for a record that matches when there is none yet. */
  waitMs?: number
}

export interface LogStoreOptions extends Partial<LogLimits> {
  /** Made when it is not there; a folder per project inside. */
  directory: string
}

const defaults: LogLimits = {
  segmentBytes: 16 * 1024 * 1024,
  projectBytes: 256 * 1024 * 1024,
  maxAgeMs: 30 * 24 * 3600 * 1000,
  pageBytes: 8 * 1024 * 1024,
}
const idleMs = 30_000
const sweepMs = 3600 * 1000
const pageRecords = 1000

/**
 * The logs of all projects, on disk. A written record survives the end of the process at any moment (`kill -9`); after a
 * power failure the last seconds may be missing. Projects that rest are closed and cost nothing.
 */
export class LogStore implements AsyncDisposable {
  readonly #directory: string
  readonly #limits: LogLimits
  readonly #projects = new Map<string, { opening: Promise<ProjectLog>; users: number }>()
  readonly #timers: NodeJS.Timeout[]
  #sweeping: Promise<void> = Promise.resolve()

  private constructor(directory: string, limits: LogLimits) {
    this.#directory = directory
    this.#limits = limits
    // A folder that cannot be listed now is tried again at the next sweep.
    const sweep = () => (this.#sweeping = this.#sweeping.then(() => this.sweep()).catch(() => {}))
    this.#timers = [
      setInterval(() => void this.#closeIdle(), idleMs).unref(),
      setInterval(() => void sweep(), sweepMs).unref(),
    ]
  }

  static async open({ directory, ...limits }: LogStoreOptions): Promise<LogStore> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return new LogStore(directory, { ...defaults, ...limits })
  }

  /**
   * Adds records in this order and resolves to the cursor of the last when they are written. Messages over 64 KB are cut,
   * with a note. Wait for it before sending ever more: what waits to be written is in memory.
   */
  async append(projectId: string, entries: readonly LogEntry[]): Promise<number> {
    using project = this.#use(projectId)
    return await (await project.opening).append(entries)
  }

  async query(projectId: string, search: LogSearch, signal?: AbortSignal): Promise<Page> {
    const { lines = 100, cursor, waitMs = 0, ...filter } = search
    const matcher = new LogMatcher(filter)
    using use = this.#use(projectId)
    const project = await use.opening
    if (cursor === undefined) return await project.last(lines, matcher)
    const page = await project.after(cursor, pageRecords, matcher)
    if (page.records.length > 0 || waitMs === 0) return page
    const enough = AbortSignal.any([AbortSignal.timeout(waitMs), ...(signal === undefined ? [] : [signal])])
    for await (const records of project.follow({ cursor: page.cursor, matcher, maxLag: Infinity, signal: enough }))
      return { records, cursor: records.at(-1)?.cursor ?? page.cursor }
    return { records: [], cursor: Math.max(page.cursor, project.lastCursor) }
  }

  /**
   * Records after `cursor` (without one: only what comes from now on) and then live, until the signal aborts or the
   * project's log is removed. A reader that falls more than `maxLag` records behind misses some and is told how many.
   */
  async *follow(
    projectId: string,
    options: { cursor?: number; filter?: LogFilter; signal?: AbortSignal; maxLag?: number },
  ): AsyncGenerator<LogRecord[], void, undefined> {
    const { cursor, filter = {}, signal, maxLag = 50_000 } = options
    using use = this.#use(projectId)
    const project = await use.opening
    yield* project.follow({ cursor, matcher: new LogMatcher(filter), maxLag, signal })
  }

  async remove(projectId: string): Promise<void> {
    using project = this.#use(projectId)
    await (await project.opening).remove()
    this.#projects.delete(projectId)
  }

  /** Deletes what is too old, in all projects. Runs each hour by itself. */
  async sweep(now = Date.now()): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!idPattern.test(name)) continue
      using project = this.#use(name)
      // One that cannot be read is reported to those who use it.
      await project.opening.then(log => log.trim(now)).catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await this.#sweeping
    for (const { opening } of this.#projects.values()) await (await opening).close()
    this.#projects.clear()
  }

  /** A project's log stays open while somebody uses it: two writers of one project would destroy each other's work. */
  #use(projectId: string): Disposable & { opening: Promise<ProjectLog> } {
    if (!idPattern.test(projectId)) throw new TypeError(`Not a project id: ${JSON.stringify(projectId)}`)
    let project = this.#projects.get(projectId)
    if (project === undefined) {
      project = { opening: ProjectLog.open(path.join(this.#directory, projectId), this.#limits), users: 0 }
      this.#projects.set(projectId, project)
      project.opening.catch(() => this.#projects.delete(projectId))
    }
    const used = project
    used.users++
    return { opening: used.opening, [Symbol.dispose]: () => void used.users-- }
  }

  async #closeIdle(): Promise<void> {
    const idle = [...this.#projects].filter(([, project]) => project.users === 0)
    for (const [id] of idle) this.#projects.delete(id)
    for (const [, { opening }] of idle) await (await opening).close()
  }
}
