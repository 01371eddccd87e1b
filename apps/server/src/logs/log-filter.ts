import type { LogLevel, LogRecord, LogSource } from '@coderunner/contract'
import { deploymentBit, type LogBlock } from './log-block.ts'
import { escape, levelOf, levelRank, placesOf, sourceOf, sourceRank, timeOf } from './log-line.ts'

/** Which records are wanted; every condition given must hold. */
export interface LogFilter {
  /** Milliseconds since 1970, inclusive. */
  since?: number
  until?: number
  /** This level or a worse one. */
  level?: LogLevel
  source?: LogSource
  deploymentId?: string
  /** Part of the message, upper and lower case alike. */
  text?: string
}

/** A filter made ready for each of the forms a record comes in: index entry, block of text, line, object. */
export class LogMatcher {
  readonly #filter: LogFilter
  readonly #needle: string
  readonly #levels: number
  readonly #level: number

  constructor(filter: LogFilter) {
    this.#filter = filter
    this.#needle = escape(filter.text ?? '').toLowerCase()
    this.#level = filter.level === undefined ? 0 : levelRank[filter.level]
    this.#levels = -1 << this.#level
  }

  /** False when no record of the block can match. */
  block(block: LogBlock): boolean {
    const { since, until, source, deploymentId } = this.#filter
    return (
      (block.levels & this.#levels) !== 0 &&
      (source === undefined || (block.sources & (1 << sourceRank[source])) !== 0) &&
      (deploymentId === undefined || (block.deployments & (1 << deploymentBit(deploymentId))) !== 0) &&
      (since === undefined || block.maxTime >= since) &&
      (until === undefined || block.minTime <= until)
    )
  }

  /** False when no line of the text can match. */
  text(text: string): boolean {
    return this.#needle === '' || text.toLowerCase().includes(this.#needle)
  }

  line(line: string): boolean {
    const { since, until, source, deploymentId } = this.#filter
    if (levelOf(line) < this.#level) return false
    if (source !== undefined && sourceOf(line) !== sourceRank[source]) return false
    if (since !== undefined && timeOf(line) < since) return false
    if (until !== undefined && timeOf(line) > until) return false
    if (deploymentId === undefined && this.#needle === '') return true
    const places = placesOf(line)
    if (deploymentId !== undefined && line.slice(places.deployment, places.instance - 1) !== deploymentId) return false
    return this.#needle === '' || line.slice(places.message).toLowerCase().includes(this.#needle)
  }

  record(record: LogRecord): boolean {
    const { since, until, source, deploymentId } = this.#filter
    return (
      levelRank[record.level] >= this.#level &&
      (source === undefined || record.source === source) &&
      (deploymentId === undefined || record.deploymentId === deploymentId) &&
      (since === undefined || record.time >= since) &&
      (until === undefined || record.time <= until) &&
      (this.#needle === '' || escape(record.message).toLowerCase().includes(this.#needle))
    )
  }
}
