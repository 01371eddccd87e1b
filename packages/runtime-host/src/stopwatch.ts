/** How long the stages of something took, in milliseconds. */
export class Stopwatch {
  readonly #begun = performance.now()
  readonly #stages: Record<string, number> = {}
  #last = this.#begun

  /** Ends a stage that began with the end of the one before. */
  lap(stage: string): void {
    const now = performance.now()
    this.#stages[stage] = (this.#stages[stage] ?? 0) + now - this.#last
    this.#last = now
  }

  /** The stages and their `total`. */
  read(): Record<string, number> {
    return { ...this.#stages, total: performance.now() - this.#begun }
  }
}
