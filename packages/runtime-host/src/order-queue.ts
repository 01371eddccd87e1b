/** Orders on one name run one after the other; orders on different names do not wait for each other. */
export class OrderQueue {
  readonly #last = new Map<string, Promise<unknown>>()

  run<T>(name: string, order: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve()
    const result = before.then(order)
    // A failed order is its caller's matter; the next one runs all the same.
    const settled: Promise<void> = result.then(
      () => this.#forget(name, settled),
      () => this.#forget(name, settled),
    )
    this.#last.set(name, settled)
    return result
  }

  /** Resolves when every order given so far has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#last.values())
  }

  #forget(name: string, settled: Promise<void>): void {
    if (this.#last.get(name) === settled) this.#last.delete(name)
  }
}
