import { type Fence, StaleEpochError } from '@coderunner/runtime'
import { readJsonFile, writeJsonFile } from './json-file.ts'

/** The highest epoch seen of every key, on disk. */
export class EpochFile {
  #path: string
  #highest: Map<string, number>
  #written: Promise<void> = Promise.resolve()

  static async open(path: string): Promise<EpochFile> {
    return new EpochFile(path, (await readJsonFile<[string, number][]>(path)) ?? [])
  }

  private constructor(path: string, entries: [string, number][]) {
    this.#path = path
    this.#highest = new Map(entries)
  }

  async check({ key, epoch }: Fence): Promise<void> {
    const current = this.#highest.get(key) ?? 0
    if (epoch < current) throw new StaleEpochError(key, epoch, current)
    if (epoch > current) {
      this.#highest.set(key, epoch)
      this.#written = this.#written.then(() => writeJsonFile(this.#path, [...this.#highest]))
    }
    await this.#written
  }
}
