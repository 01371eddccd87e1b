/** Values for one reader, who waits when there are none. */
export class Mailbox<T> {
  #values: T[] = []
  #ended = false
  #changed = Promise.withResolvers<void>()

  push(value: T): void {
    if (this.#ended) return
    this.#values.push(value)
    this.#changed.resolve()
  }

  end(): void {
    this.#ended = true
    this.#changed.resolve()
  }

  async *read(): AsyncGenerator<T> {
    for (;;) {
      yield* this.#values.splice(0)
      if (this.#ended && this.#values.length === 0) return
      await this.#changed.promise
      this.#changed = Promise.withResolvers<void>()
      if (this.#ended) this.#changed.resolve()
    }
  }
}

/** Those who listen from when they ask until their signal. */
export class Audience<T> {
  #mailboxes = new Set<Mailbox<T>>()

  tell(value: T): void {
    for (const mailbox of this.#mailboxes) mailbox.push(value)
  }

  async *listen(signal: AbortSignal): AsyncGenerator<T> {
    const mailbox = new Mailbox<T>()
    const leave = (): void => mailbox.end()
    if (signal.aborted) return
    signal.addEventListener('abort', leave)
    this.#mailboxes.add(mailbox)
    try {
      yield* mailbox.read()
    } finally {
      this.#mailboxes.delete(mailbox)
      signal.removeEventListener('abort', leave)
    }
  }
}
