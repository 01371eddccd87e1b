/** Lets so many builds run at a time, in the order they came. */
export class BuildQueue {
  readonly #waiting: { enter: () => void; moved: (position: number) => void }[] = []
  #free: number

  constructor(places: number) {
    this.#free = Math.max(1, Math.floor(places))
  }

  /** `moved` hears of the place in the queue, 1 being the next, whenever it changes; never when nothing is waited for. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>, moved: (position: number) => void = () => {}): Promise<T> {
    await this.#enter(signal, moved)
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else {
        next.enter()
        this.#tellFrom(0)
      }
    }
  }

  #enter(signal: AbortSignal, moved: (position: number) => void): Promise<void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free--
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        const at = this.#waiting.findIndex(one => one.enter === enter)
        this.#waiting.splice(at, 1)
        this.#tellFrom(at)
        reject(signal.reason)
      }
      this.#waiting.push({ enter, moved })
      signal.addEventListener('abort', leave, { once: true })
      moved(this.#waiting.length)
    })
  }

  #tellFrom(at: number): void {
    for (const [index, { moved }] of this.#waiting.entries()) if (index >= at) moved(index + 1)
  }
}
