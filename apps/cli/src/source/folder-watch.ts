import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'
import { Failure } from '../failure.ts'
import type { IgnoreRules } from './ignore-rules.ts'
import type { WalkObserver } from './source-folder.ts'

/** Editors write a file in several steps: a batch ends when so long nothing has happened, or after the longer time. */
const quietMs = 10
const longestBatchMs = 250

/** What editors and file managers leave for a moment: swap files, backups, locks, the file vim tries a folder with. */
const passing = /^(\..*\.sw[a-z]|4913|.*~|\.#.*|#.*#|\.DS_Store|.*\.tmp\.\d+(\.[0-9a-z]+)?)$/

/**
 * Tells of changes in the directories that a walk comes through: one watch each, so that what is ignored (node_modules
 * above all) costs nothing. Call `forgetUnseen` after the walk.
 */
export class FolderWatch implements WalkObserver, Disposable {
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #rules = new Map<string, IgnoreRules>()
  #seen = new Set<string>()
  #firstAt: number | undefined
  #lastAt = 0
  #changed = Promise.withResolvers<void>()

  see(directory: string): void {
    this.#seen.add(directory)
    if (this.#watchers.has(directory)) return
    try {
      const watcher = watch(directory, { persistent: true })
      watcher.on('change', (_event, name) => this.#noted(directory, String(name)))
      // The directory is gone or replaced: what is above it tells.
      watcher.on('error', () => this.#drop(directory))
      this.#watchers.set(directory, watcher)
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return
      throw new Failure('not_supported', `${directory} cannot be watched: ${message}`, {
        ...(code === 'ENOSPC' && { hint: 'Raise the limit: sysctl fs.inotify.max_user_watches=524288' }),
        ...(code === 'EMFILE' && { hint: 'Raise the limit: sysctl fs.inotify.max_user_instances=1024' }),
      })
    }
  }

  heed(directory: string, rules: IgnoreRules): void {
    this.#rules.set(directory, rules)
  }

  /** Ends the watches of directories that the walk has not come through any more. */
  forgetUnseen(): void {
    for (const directory of this.#watchers.keys()) if (!this.#seen.has(directory)) this.#drop(directory)
    this.#seen = new Set()
  }

  /** Whether something has changed since the last batch. */
  get isChanged(): boolean {
    return this.#firstAt !== undefined
  }

  /** Resolves with the first change, or when the signal is aborted. */
  async changed(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>()
    const onAbort = () => aborted.resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) return
    await Promise.race([this.#changed.promise, aborted.promise])
    signal.removeEventListener('abort', onAbort)
  }

  /** Waits for a batch of changes to be over; the moment (`performance.now()`) of its first one. */
  async nextBatch(signal: AbortSignal): Promise<number> {
    await this.changed(signal)
    signal.throwIfAborted()
    const firstAt = this.#firstAt ?? performance.now()
    for (;;) {
      const now = performance.now()
      const restMs = Math.min(this.#lastAt + quietMs, firstAt + longestBatchMs) - now
      if (restMs <= 0) break
      await new Promise(resolve => setTimeout(resolve, restMs))
      signal.throwIfAborted()
    }
    this.#firstAt = undefined
    this.#changed = Promise.withResolvers()
    return firstAt
  }

  [Symbol.dispose](): void {
    for (const directory of this.#watchers.keys()) this.#drop(directory)
  }

  #noted(directory: string, name: string): void {
    if (passing.test(name) || this.#rules.get(directory)?.drops(name, join(directory, name), false) === true) return
    this.#lastAt = performance.now()
    this.#firstAt ??= this.#lastAt
    this.#changed.resolve()
  }

  #drop(directory: string): void {
    this.#watchers.get(directory)?.close()
    this.#watchers.delete(directory)
    this.#rules.delete(directory)
  }
}
