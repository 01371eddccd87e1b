import type { ProcessEvent } from '@coderunner/runtime'

const mostBytes = 256 * 1024

/**
 * Output between the wire and the one who reads it. `push` waits while it is full, which slows the process. When nobody
 * is going to read (the reader has left, or only the exit is waited for) the rest is dropped.
 */
export class OutputQueue {
  #events: ProcessEvent[] = []
  #bytes = 0
  #ended = false
  #failure: Error | undefined
  #read = false
  #dropping = false
  #changed = Promise.withResolvers<void>()

  async push(event: ProcessEvent): Promise<void> {
    while (this.#bytes >= mostBytes && !this.#dropping) await this.#changed.promise
    if (this.#dropping) return
    this.#events.push(event)
    this.#bytes += event.data.length
    this.#wake()
  }

  end(failure?: Error): void {
    this.#ended = true
    this.#failure = failure
    this.#wake()
  }

  /** The exit is waited for: unless somebody reads, a full queue must not hold it up. */
  dropUnread(): void {
    if (!this.#read) setImmediate(() => this.#read || this.#drop())
  }

  async *read(): AsyncGenerator<ProcessEvent> {
    if (this.#read) throw new Error('The output of a process can be read once.')
    this.#read = true
    this.#dropping = false
    try {
      for (;;) {
        const event = this.#events.shift()
        if (event !== undefined) {
          this.#bytes -= event.data.length
          this.#wake()
          yield event
          continue
        }
        if (this.#failure !== undefined) throw this.#failure
        if (this.#ended) return
        await this.#changed.promise
      }
    } finally {
      this.#drop()
    }
  }

  #drop(): void {
    this.#dropping = true
    this.#events = []
    this.#bytes = 0
    this.#wake()
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
