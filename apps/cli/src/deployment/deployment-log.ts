import type { Client, LogEntry } from '@coderunner/client'

const firstLines = 1000

/** Everything that one deployment writes from its first line on, each line once. */
export class DeploymentLog {
  readonly #client: Client
  readonly #deploymentId: string
  readonly #onEntries: (entries: readonly LogEntry[]) => void
  #cursor: number | undefined

  constructor(options: { client: Client; deploymentId: string; onEntries: (entries: readonly LogEntry[]) => void }) {
    this.#client = options.client
    this.#deploymentId = options.deploymentId
    this.#onEntries = options.onEntries
  }

  /** Follows until `signal` is aborted. A log that cannot be read is no reason to stop watching a deployment. */
  async follow(signal: AbortSignal): Promise<void> {
    const target = { deploymentId: this.#deploymentId }
    try {
      const cursor = await this.#start(signal)
      for await (const page of this.#client.logs.follow(target, { cursor }, signal))
        this.#take(page.records, page.cursor)
    } catch {
      // Aborted, or refused; what is missing is read at the end by `catchUp`.
    }
  }

  /** What has been written since; for the end, when nothing more comes. */
  async catchUp(signal: AbortSignal): Promise<void> {
    let cursor = await this.#start(signal)
    for (;;) {
      const page = await this.#client.logs.page({ deploymentId: this.#deploymentId }, { cursor }, signal)
      this.#take(page.records, page.cursor)
      if (page.records.length === 0) return
      cursor = page.cursor
    }
  }

  async #start(signal: AbortSignal): Promise<number> {
    if (this.#cursor === undefined) {
      const page = await this.#client.logs.page({ deploymentId: this.#deploymentId }, { lines: firstLines }, signal)
      this.#take(page.records, page.cursor)
    }
    return this.#cursor ?? 0
  }

  #take(records: readonly LogEntry[], cursor: number): void {
    const before = this.#cursor ?? -1
    this.#cursor = Math.max(before, cursor)
    const fresh = records.filter(record => record.cursor > before)
    if (fresh.length > 0) this.#onEntries(fresh)
  }
}
