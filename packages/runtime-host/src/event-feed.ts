import type { ProviderEvent } from '@coderunner/runtime'

/** Hands events to everybody who has asked by then. */
export class EventFeed {
  readonly #readers = new Set<Reader>()
  #failure: Error | undefined

  emit(event: ProviderEvent): void {
    for (const reader of this.#readers) reader.push(event)
  }

  /** Registered when this returns. Ends with the signal; throws when the feed is closed. */
  subscribe(signal: AbortSignal): AsyncIterable<ProviderEvent> {
    const reader = new Reader(() => this.#readers.delete(reader))
    if (this.#failure !== undefined) reader.end(this.#failure)
    else if (signal.aborted) reader.end()
    else this.#readers.add(reader)
    signal.addEventListener('abort', () => reader.end(), { once: true })
    return reader
  }

  close(failure: Error): void {
    this.#failure = failure
    for (const reader of this.#readers) reader.end(failure)
  }
}

class Reader implements AsyncIterable<ProviderEvent>, AsyncIterator<ProviderEvent> {
  readonly #forget: () => void
  readonly #waiting: ProviderEvent[] = []
  #wake = Promise.withResolvers<void>()
  #end: { failure?: Error } | undefined

  constructor(forget: () => void) {
    this.#forget = forget
  }

  push(event: ProviderEvent): void {
    this.#waiting.push(event)
    this.#wake.resolve()
  }

  end(failure?: Error): void {
    this.#end ??= failure === undefined ? {} : { failure }
    this.#forget()
    this.#wake.resolve()
  }

  [Symbol.asyncIterator](): AsyncIterator<ProviderEvent> {
    return this
  }

  async next(): Promise<IteratorResult<ProviderEvent>> {
    for (;;) {
      const event = this.#waiting.shift()
      if (event !== undefined) return { done: false, value: event }
      if (this.#end?.failure !== undefined) throw this.#end.failure
      if (this.#end !== undefined) return { done: true, value: undefined }
      this.#wake = Promise.withResolvers()
      await this.#wake.promise
    }
  }

  async return(): Promise<IteratorResult<ProviderEvent>> {
    this.end()
    return { done: true, value: undefined }
  }
}
