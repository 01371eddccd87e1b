import { mkdir, open, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import type { LogRecord } from '@coderunner/contract'
import type { LogBlock } from './log-block.ts'
import type { LogMatcher } from './log-filter.ts'
import { LogFollowers } from './log-followers.ts'
import { boundEntry, cursorOf, decodeLine, type LogEntry } from './log-line.ts'
import { LogSegment } from './log-segment.ts'

export interface LogLimits {
  /** A segment is closed when it has this size. */
  segmentBytes: number
  /** The oldest segments go when a project has more than this. */
  projectBytes: number
  /** Segments without a younger record go. */
  maxAgeMs: number
  /** What one answer holds at most, in bytes of lines. */
  pageBytes: number
}

export interface Page {
  records: LogRecord[]
  /** Where to go on from, also when no record matched. */
  cursor: number
}

interface Append {
  entries: LogEntry[]
  resolve(lastCursor: number): void
  reject(error: unknown): void
}

/**
 * The log of one project: segments in order of their cursors, the last one written to. Appends wait in a queue; all that
 * wait are one write. Reading never waits for writing: it sees what the index of the blocks says is written.
 */
export class ProjectLog {
  readonly #directory: string
  readonly #limits: LogLimits
  readonly #segments: LogSegment[]
  readonly #followers = new LogFollowers()
  #queue: Append[] = []
  #writing: Promise<void> | undefined
  #removed = false
  #trimAt: number | undefined

  private constructor(directory: string, limits: LogLimits, segments: LogSegment[]) {
    this.#directory = directory
    this.#limits = limits
    this.#segments = segments
  }

  static async open(directory: string, limits: LogLimits): Promise<ProjectLog> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const names = (await readdir(directory)).filter(name => /^\d{16}\.log$/.test(name)).sort()
    const segments: LogSegment[] = []
    for (const name of names) segments.push(await LogSegment.open(path.join(directory, name)))
    return new ProjectLog(directory, limits, segments)
  }

  get lastCursor(): number {
    return (this.#segments.at(-1)?.nextCursor ?? 1) - 1
  }

  /** Cursor of the oldest record still there. */
  get firstCursor(): number {
    return this.#segments[0]?.firstCursor ?? 1
  }

  /** Resolves to the cursor of the last of these records when they are written. */
  async append(entries: readonly LogEntry[]): Promise<number> {
    if (this.#removed) throw new Error('The log of this project has been removed')
    if (entries.length === 0) return this.lastCursor
    const bounded = entries.map(boundEntry)
    const written = new Promise<number>((resolve, reject) => this.#queue.push({ entries: bounded, resolve, reject }))
    this.#writing ??= this.#work()
    return written
  }

  /** The last `lines` records that match and were there when it was called. */
  async last(lines: number, matcher: LogMatcher): Promise<Page> {
    const upTo = this.lastCursor
    const found: LogRecord[] = []
    let bytes = 0
    for await (const text of this.#texts(
      this.#segments.toReversed(),
      segment => segment.blocks.toReversed(),
      matcher,
    )) {
      const matching = matchingLines(text, matcher)
      for (let i = matching.length - 1; i >= 0 && found.length < lines && bytes < this.#limits.pageBytes; i--) {
        const line = matching[i] as string
        if (cursorOf(line) > upTo) continue
        found.push(decodeLine(line))
        bytes += line.length
      }
      if (found.length >= lines || bytes >= this.#limits.pageBytes) break
    }
    return { records: found.toReversed(), cursor: upTo }
  }

  /** Up to `limit` records after `cursor`, oldest first. */
  async after(cursor: number, limit: number, matcher: LogMatcher): Promise<Page> {
    const upTo = this.lastCursor
    const records: LogRecord[] = []
    let bytes = 0
    const segments = this.#segments.filter(segment => segment.nextCursor > cursor + 1)
    const blocks = (segment: LogSegment) =>
      segment.blocks.filter(block => block.firstCursor + block.records > cursor + 1 && block.firstCursor <= upTo)
    for await (const text of this.#texts(segments, blocks, matcher)) {
      for (const line of matchingLines(text, matcher)) {
        const at = cursorOf(line)
        if (at <= cursor || at > upTo) continue
        records.push(decodeLine(line))
        bytes += line.length
        if (records.length >= limit || bytes >= this.#limits.pageBytes) return { records, cursor: at }
      }
    }
    return { records, cursor: Math.max(cursor, upTo) }
  }

  /**
   * Records as they come: those after `cursor` first (without one: only what comes from now on), then live, until the
   * signal aborts or the log is removed. A reader keeps no queue here: it is a cursor. One that was live and has fallen
   * more than `maxLag` records behind is put forward, and a `system` record says how many it missed.
   */
  async *follow(options: {
    cursor: number | undefined
    matcher: LogMatcher
    maxLag: number
    signal: AbortSignal | undefined
  }): AsyncGenerator<LogRecord[], void, undefined> {
    const { matcher, maxLag, signal } = options
    using follower = this.#followers.add(signal)
    let cursor = Math.min(options.cursor ?? this.lastCursor, this.lastCursor)
    let live = options.cursor === undefined
    const ended = () => signal?.aborted === true || this.#removed
    while (!ended()) {
      const lag = this.lastCursor - cursor
      if (lag <= 0) {
        live = true
        await follower.wait()
        continue
      }
      const gone = cursor > 0 ? this.firstCursor - 1 - cursor : 0
      const missed = live && lag > maxLag ? lag - Math.min(maxLag, 1000) : gone
      if (missed > 0) {
        cursor += missed
        yield [gapRecord(cursor, missed)]
        continue
      }
      const fresh = this.#followers.recent(cursor)
      const page =
        fresh === undefined
          ? await this.after(cursor, 1000, matcher)
          : { records: fresh.filter(record => matcher.record(record)), cursor: fresh.at(-1)?.cursor ?? cursor }
      cursor = page.cursor
      if (page.records.length > 0) yield page.records
    }
  }

  /** Deletes what is too old or too much, as of `now`. */
  async trim(now: number): Promise<void> {
    this.#trimAt = now
    await (this.#writing ??= this.#work())
  }

  async #enforceLimits(now: number): Promise<void> {
    const tooOld = (segment: LogSegment) => segment.bytes > 0 && segment.newestTime < now - this.#limits.maxAgeMs
    const newest = this.#segments.at(-1)
    if (newest !== undefined && tooOld(newest)) await this.#roll()
    let total = this.#segments.reduce((sum, segment) => sum + segment.bytes, 0)
    for (
      let oldest = this.#segments[0];
      oldest !== undefined && this.#segments.length > 1;
      oldest = this.#segments[0]
    ) {
      if (total <= this.#limits.projectBytes && !tooOld(oldest)) break
      total -= oldest.bytes
      this.#segments.shift()
      await oldest.remove()
    }
  }

  async remove(): Promise<void> {
    this.#removed = true
    await this.#writing
    this.#followers.wake()
    await this.close()
    this.#segments.length = 0
    await rm(this.#directory, { recursive: true, force: true })
  }

  async close(): Promise<void> {
    await this.#writing
    for (const segment of this.#segments) await segment.close()
  }

  /** The only writer: one at a time, it ends when there is nothing left to do. */
  async #work(): Promise<void> {
    // The other appends of this turn of the event loop go into the same write.
    await Promise.resolve()
    while (this.#queue.length > 0 || this.#trimAt !== undefined) {
      if (this.#trimAt !== undefined) {
        const now = this.#trimAt
        this.#trimAt = undefined
        // What cannot be deleted now is tried again at the next trim.
        await this.#enforceLimits(now).catch(() => {})
        continue
      }
      const batch = this.#queue
      this.#queue = []
      try {
        const ends = await this.#write(batch)
        batch.forEach((append, index) => append.resolve(ends[index] ?? this.lastCursor))
      } catch (error) {
        for (const append of batch) append.reject(error)
      }
    }
    this.#writing = undefined
  }

  /** Writes all appends, and tells the cursor each ends with. */
  async #write(batch: Append[]): Promise<number[]> {
    let segment = this.#segments.at(-1) ?? (await this.#roll())
    let cursor = segment.nextCursor
    const records: LogRecord[] = []
    const followed = this.#followers.any
    const ends: number[] = []
    for (const { entries } of batch) {
      for (const entry of entries) {
        if (segment.stagedSize >= this.#limits.segmentBytes) {
          await segment.flush()
          segment = await this.#roll()
          await this.#enforceLimits(Date.now())
        }
        segment.stage(entry, cursor)
        if (followed) records.push({ ...entry, cursor })
        cursor++
      }
      ends.push(cursor - 1)
    }
    await segment.flush()
    this.#followers.publish(records)
    return ends
  }

  async #roll(): Promise<LogSegment> {
    const full = this.#segments.at(-1)
    await full?.seal()
    const next = await LogSegment.create(this.#directory, full?.nextCursor ?? 1)
    this.#segments.push(next)
    return next
  }

  /** The text of each block that may hold a match, in the order given. */
  async *#texts(
    segments: readonly LogSegment[],
    blocksOf: (segment: LogSegment) => readonly LogBlock[],
    matcher: LogMatcher,
  ): AsyncGenerator<string, void, undefined> {
    for (const segment of segments) {
      const blocks = blocksOf(segment).filter(block => matcher.block(block))
      if (blocks.length === 0) continue
      // A segment that retention deletes meanwhile stays readable while it is open, and is skipped when it is gone.
      const handle = await open(segment.file, 'r').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined
        throw error
      })
      if (handle === undefined) continue
      try {
        for (const { offset, bytes } of blocks) {
          const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(bytes), 0, bytes, offset)
          const text = buffer.toString('utf8', 0, bytesRead)
          if (matcher.text(text)) yield text
        }
      } finally {
        await handle.close()
      }
    }
  }
}

function matchingLines(text: string, matcher: LogMatcher): string[] {
  const lines = text.split('\n')
  lines.pop()
  return lines.filter(line => matcher.line(line))
}

function gapRecord(cursor: number, missed: number): LogRecord {
  const message = `${missed} log records were skipped here: they came faster than they were read, or are no longer kept`
  return {
    cursor,
    time: Date.now(),
    source: 'system',
    deploymentId: '',
    instance: '',
    stream: 'stderr',
    level: 'warn',
    message,
  }
}
