import { setTimeout as delay } from 'node:timers/promises'
import { EmbeddedPostgres, type EmbeddedPostgresOptions } from '@coderunner/database'

const firstBackoffMs = 100
const maxBackoffMs = 5000

/** The embedded PostgreSQL, started again when it ends, until it is stopped. */
export class PostgresService implements AsyncDisposable {
  readonly url: string
  readonly #options: EmbeddedPostgresOptions
  readonly #report: (line: string) => void
  readonly #stopping = new AbortController()
  readonly #finished: Promise<void>

  private constructor(first: EmbeddedPostgres, options: EmbeddedPostgresOptions, report: (line: string) => void) {
    this.url = first.url
    this.#options = options
    this.#report = report
    this.#finished = this.#keepRunning(first)
  }

  static async start(options: EmbeddedPostgresOptions, report: (line: string) => void): Promise<PostgresService> {
    return new PostgresService(await EmbeddedPostgres.start(options), options, report)
  }

  async #keepRunning(first: EmbeddedPostgres): Promise<void> {
    const { signal } = this.#stopping
    const stopped = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
    let current: EmbeddedPostgres | undefined = first
    let backoffMs = firstBackoffMs
    while (!signal.aborted) {
      if (current !== undefined) {
        await Promise.race([stopped, current.exited.catch(() => {})])
        await current.stop()
        if (signal.aborted) return
        this.#report(`PostgreSQL ended; it is started again in ${backoffMs / 1000} s`)
      }
      await delay(backoffMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      backoffMs = Math.min(backoffMs * 2, maxBackoffMs)
      current = await this.#startAgain()
      if (current !== undefined) backoffMs = firstBackoffMs
    }
  }

  async #startAgain(): Promise<EmbeddedPostgres | undefined> {
    try {
      return await EmbeddedPostgres.start(this.#options)
    } catch (error) {
      this.#report((error as Error).message)
      return undefined
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    await this.#finished
  }
}
