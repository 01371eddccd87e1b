import { ApiError, ServerUnreachableError } from './api-error.ts'
import { delay } from './delay.ts'
import { route } from './routes.ts'
import type { LogPage, LogQuery } from './shapes.ts'
import type { Transport } from './transport.ts'

/** Which records; a subset of the query. */
export type LogFilter = Pick<LogQuery, 'level' | 'source' | 'text'>

export type LogTarget = { projectId: string } | { deploymentId: string }

const waitMs = 25_000
const longestBackOffMs = 5000

export class Logs {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  page(target: LogTarget, query: LogQuery = {}, signal?: AbortSignal): Promise<LogPage> {
    const call = { query: { ...query }, signal }
    return 'projectId' in target
      ? this.#transport.json(route.projectLogs, { ...call, params: { id: target.projectId } })
      : this.#transport.json(route.deploymentLogs, { ...call, params: { id: target.deploymentId } })
  }

  /**
   * Pages of records after `cursor` as they come, until `signal` ends it. A connection that breaks is made again from
   * the last cursor: nothing is lost and nothing comes twice. `onInterruption` hears of it. Ends by throwing when the
   * server refuses (the project is gone, the token revoked).
   */
  async *follow(
    target: LogTarget,
    options: { cursor: number; filter?: LogFilter; onInterruption?: (error: Error) => void },
    signal?: AbortSignal,
  ): AsyncGenerator<LogPage> {
    let { cursor } = options
    for (let failures = 0; ; ) {
      try {
        const page = await this.page(target, { ...options.filter, cursor, waitMs }, signal)
        failures = 0
        cursor = page.cursor
        if (page.records.length > 0) yield page
      } catch (error) {
        if (!worthAnotherAttempt(error)) throw error
        if (failures++ === 0) options.onInterruption?.(error)
        await delay(Math.min(100 * 2 ** failures, longestBackOffMs), signal)
      }
    }
  }
}

function worthAnotherAttempt(error: unknown): error is Error {
  if (error instanceof ServerUnreachableError) return true
  return error instanceof ApiError && (error.status >= 500 || error.status === 429)
}
