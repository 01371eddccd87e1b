/** Wakes whoever waits for the next change. Take `next` before reading what may change, so that none is lost. */
export class ChangeSignal {
  #next = Promise.withResolvers<void>()

  next(): Promise<void> {
    return this.#next.promise
  }

  notify(): void {
    const current = this.#next
    this.#next = Promise.withResolvers<void>()
    current.resolve()
  }
}

/** Resolves with the change, the signal or after the time, whichever is first. */
export async function waitForChange(change: Promise<void>, signal: AbortSignal, timeoutMs?: number): Promise<void> {
  const woken = Promise.withResolvers<void>()
  const wake = (): void => woken.resolve()
  const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs)
  signal.addEventListener('abort', wake, { once: true })
  if (signal.aborted) wake()
  void change.then(wake)
  await woken.promise
  clearTimeout(timer)
  signal.removeEventListener('abort', wake)
}
