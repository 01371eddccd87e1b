import type { LogRecord } from '@coderunner/contract'

const keptRecords = 2000

export interface Follower extends Disposable {
  /** Resolves when records were written since the last call, or the signal aborted. */
  wait(): Promise<void>
}

/**
 * Those who follow a log, and the latest records for them, so that a follower that keeps up never reads the disk. What is
 * kept is bounded for all followers together; who lags behind it reads the segments.
 */
export class LogFollowers {
  readonly #waiting = new Set<() => void>()
  #count = 0
  #recent: LogRecord[] = []

  get any(): boolean {
    return this.#count > 0
  }

  add(signal: AbortSignal | undefined): Follower {
    this.#count++
    let pending = false
    let resume: (() => void) | undefined
    const wake = () => {
      pending = true
      resume?.()
    }
    this.#waiting.add(wake)
    signal?.addEventListener('abort', wake)
    return {
      wait: async () => {
        if (!pending && signal?.aborted !== true) await new Promise<void>(resolve => (resume = resolve))
        resume = undefined
        pending = false
      },
      [Symbol.dispose]: () => {
        this.#waiting.delete(wake)
        signal?.removeEventListener('abort', wake)
        if (--this.#count === 0) this.#recent = []
      },
    }
  }

  publish(records: LogRecord[]): void {
    if (this.#count === 0) return
    const before = this.#recent.at(-1)?.cursor
    const joins = before !== undefined && records[0]?.cursor === before + 1
    this.#recent = (joins ? [...this.#recent, ...records] : records).slice(-keptRecords)
    this.wake()
  }

  wake(): void {
    for (const wake of this.#waiting) wake()
  }

  /** The records after `cursor`, when all of them are kept here. */
  recent(cursor: number): LogRecord[] | undefined {
    const first = this.#recent[0]
    if (first === undefined || first.cursor > cursor + 1) return undefined
    const records = this.#recent.slice(cursor + 1 - first.cursor)
    return records.length > 0 ? records : undefined
  }
}
