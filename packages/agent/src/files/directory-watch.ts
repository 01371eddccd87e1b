/**
 * Changes below a directory. One watch per directory: Node's own recursive one follows links and dies of a directory
 * that vanishes while it looks. A directory that appears is watched and what is in it already is reported.
 *
 * The kernel's pairs of a rename are not told apart from a removal and a creation, so none is reported as `rename`.
 */
import { type FSWatcher, watch } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileChange } from '@coderunner/runtime'
import { AgentError } from '../agent-error.ts'

const mostDirectories = 8192

export class DirectoryWatch implements Disposable {
  #directories = new Map<string, { watcher: FSWatcher; names: Set<string> }>()
  #recursive: boolean
  #onChange: (change: FileChange) => void
  #onFailure: (error: Error) => void
  #closed = false
  /** Looks are taken one after the other, so that changes are reported in their order. */
  #queue: Promise<void> = Promise.resolve()

  /** Resolves when every change from now on is seen. */
  static async start(options: {
    directory: string
    recursive: boolean
    onChange: (change: FileChange) => void
    /** The watch sees no more. */
    onFailure: (error: Error) => void
  }): Promise<DirectoryWatch> {
    const started = new DirectoryWatch(options)
    await started.#add(options.directory, false)
    return started
  }

  private constructor(options: {
    recursive: boolean
    onChange: (change: FileChange) => void
    onFailure: (error: Error) => void
  }) {
    this.#recursive = options.recursive
    this.#onChange = options.onChange
    this.#onFailure = options.onFailure
  }

  [Symbol.dispose](): void {
    this.#closed = true
    for (const { watcher } of this.#directories.values()) watcher.close()
    this.#directories.clear()
  }

  async #add(directory: string, appeared: boolean): Promise<void> {
    if (this.#closed || this.#directories.has(directory)) return
    if (this.#directories.size >= mostDirectories) {
      throw new AgentError('too_large', `There are more than ${mostDirectories} directories to watch.`)
    }
    const names = new Set<string>()
    // Watch, then read: what comes between is seen twice rather than never.
    const watcher = watch(directory, (event, name) => {
      if (name !== null) this.#look(directory, event, name)
    })
    watcher.on('error', () => this.#remove(directory))
    this.#directories.set(directory, { watcher, names })
    for (const name of await readdir(directory)) {
      if (appeared && !names.has(name)) this.#onChange({ type: 'create', path: join(directory, name) })
      names.add(name)
      if (this.#recursive && (await isDirectory(join(directory, name))))
        await this.#descend(join(directory, name), appeared)
    }
  }

  #descend(directory: string, appeared: boolean): Promise<void> {
    return this.#add(directory, appeared).catch((error: unknown) => {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      // Gone again, or not readable by this user: nothing to see there.
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES') throw error
    })
  }

  #look(directory: string, event: 'rename' | 'change', name: string): void {
    this.#queue = this.#queue
      .then(() => this.#examine(directory, event, name))
      .catch((error: unknown) => this.#onFailure(error instanceof Error ? error : new Error(String(error))))
  }

  async #examine(directory: string, event: 'rename' | 'change', name: string): Promise<void> {
    const names = this.#directories.get(directory)?.names
    if (names === undefined || this.#closed) return
    const path = join(directory, name)
    if (event === 'change') {
      if (names.has(name)) this.#onChange({ type: 'write', path })
      return
    }
    const about = await lstat(path).catch(() => undefined)
    if (about === undefined) {
      if (names.delete(name)) this.#onChange({ type: 'remove', path })
      this.#remove(path)
      return
    }
    names.add(name)
    this.#onChange({ type: 'create', path })
    if (this.#recursive && about.isDirectory()) {
      // Another directory may have taken the name.
      this.#remove(path)
      await this.#descend(path, true)
    }
  }

  #remove(directory: string): void {
    for (const [path, { watcher }] of this.#directories) {
      if (path !== directory && !path.startsWith(`${directory}/`)) continue
      watcher.close()
      this.#directories.delete(path)
    }
  }
}

async function isDirectory(path: string): Promise<boolean> {
  const about = await lstat(path).catch(() => undefined)
  return about?.isDirectory() === true
}
