/** The highest epoch seen of every fence key, kept across restarts. */
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { type Fence, StaleEpochError } from '@coderunner/runtime'

export class Epochs {
  readonly #path: string
  readonly #highest = new Map<string, number>()

  private constructor(path: string) {
    this.#path = path
  }

  /** Reads the journal and writes it anew with one line a key. */
  static open(path: string): Epochs {
    const epochs = new Epochs(path)
    for (const line of readJournal(path)) {
      const separator = line.indexOf(' ')
      const epoch = Number(line.slice(0, separator))
      // A line cut short by a crash was never acted on.
      if (separator < 1 || !Number.isSafeInteger(epoch)) continue
      const key = line.slice(separator + 1)
      epochs.#highest.set(key, Math.max(epoch, epochs.#highest.get(key) ?? 0))
    }
    const lines = [...epochs.#highest].map(([key, epoch]) => `${epoch} ${key}\n`).join('')
    writeFileSync(`${path}.new`, lines, { mode: 0o600, flush: true })
    renameSync(`${path}.new`, path)
    return epochs
  }

  /** @throws StaleEpochError when a newer epoch of this key has been seen. */
  check({ key, epoch }: Fence): void {
    const current = this.#highest.get(key)
    if (current !== undefined && epoch < current) throw new StaleEpochError(key, epoch, current)
    if (epoch === current) return
    // Written before it counts: an older order must not get through after a restart.
    appendFileSync(this.#path, `${epoch} ${key}\n`, { flush: true })
    this.#highest.set(key, epoch)
  }
}

function readJournal(path: string): string[] {
  try {
    // What follows the last line end was cut short.
    return readFileSync(path, 'utf8').split('\n').slice(0, -1)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
