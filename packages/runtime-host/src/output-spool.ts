/**
 * The output of a sandbox's main process between conmon, which writes it to a file, and whoever stores it. Offsets count
 * the bytes that conmon has written since the sandbox's beginning, over all files.
 *
 * conmon writes `current.log`. At 16 MB the file is renamed to `<offset of its first byte>.log` and conmon told to open a
 * new one; until that appears, it still writes the renamed one. Files that are stored elsewhere are deleted. At 256 MB
 * the oldest is deleted all the same, and readers are told how much they miss.
 */
import {
  type FSWatcher,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '@coderunner/contract'
import type { OutputChunk } from '@coderunner/runtime'
import { ChangeSignal, waitForChange } from './change-signal.ts'
import { ConmonLog } from './conmon-log.ts'

export interface OutputSpoolOptions {
  directory: string
  /** Tells conmon to open its log file anew; false when there is no conmon. */
  reopen: () => boolean
  /** Bytes, for tests. */
  rotateAt?: number
  keepAtMost?: number
}

export const CURRENT_LOG = 'current.log'
const BASE = 'base'
const ROTATE_AT = 16 * 1024 ** 2
const KEEP_AT_MOST = 256 * 1024 ** 2
const READ_BYTES = 256 * 1024
/** How soon the file's growth is looked at. */
const CHECK_MS = 100
/** A line that is not finished by then is shown as it is. */
const UNFINISHED_MS = 1000

/** Rotated files, whose size does not change any more. */
interface Rotated {
  base: number
  size: number
}

interface Location {
  path: string
  /** Offset of the file's first byte. */
  base: number
}

export class OutputSpool implements Disposable {
  readonly #directory: string
  readonly #reopen: () => boolean
  readonly #rotateAt: number
  readonly #keepAtMost: number
  readonly #changes = new ChangeSignal()
  readonly #watcher: FSWatcher
  #rotated: Rotated[] = []
  #base: number
  /** `current.log` has been renamed to the name of `#base`, and conmon has not opened another one yet. */
  #isRotating = false
  #ended = false
  #isClosed = false
  #check: NodeJS.Timeout | undefined

  private constructor(options: OutputSpoolOptions) {
    this.#directory = options.directory
    this.#reopen = options.reopen
    this.#rotateAt = options.rotateAt ?? ROTATE_AT
    this.#keepAtMost = options.keepAtMost ?? KEEP_AT_MOST
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    this.#watcher = watch(this.#directory, () => this.#noticed()).unref()
    this.#watcher.on('error', () => {}) // the directory is gone with its sandbox; close() follows
    this.#rotated = this.#rotatedFiles()
    const last = this.#rotated.at(-1)
    this.#base = Math.max(this.#recordedBase(), last === undefined ? 0 : last.base + last.size)
    if (last !== undefined && !this.#exists(CURRENT_LOG)) this.#resumeRotation(last)
    this.#noticed()
  }

  /** Also finds what an earlier run left, whatever it was doing when it ended. */
  static open(options: OutputSpoolOptions): OutputSpool {
    return new OutputSpool(options)
  }

  /** The main process has ended, and conmon with it: readers end where the files do. */
  end(): void {
    this.#ended = true
    this.#changes.notify()
  }

  /** @throws AppError `unavailable` when the spool is closed before the output has ended */
  async *read({ offset, signal }: { offset: number; signal: AbortSignal }): AsyncGenerator<OutputChunk> {
    let position = offset
    let log = new ConmonLog(position)
    let unfinishedSince: number | undefined
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    await using file = new OpenFile()
    while (!signal.aborted) {
      if (this.#isClosed && !this.#ended) throw new AppError('unavailable', 'The host provider is shutting down.')
      const change = this.#changes.next()
      const hasEnded = this.#ended
      const first = this.#first()
      if (position < first) {
        yield { lines: [droppedLine(first - position)], offset: first }
        position = first
        log = new ConmonLog(position)
        continue
      }
      const location = this.#locate(position)
      const bytesRead = await file.read(location, buffer, position)
      position += bytesRead
      if (bytesRead > 0) log.push(buffer.subarray(0, bytesRead))
      // Renamed or deleted between looking and reading: look again.
      else if (this.#locate(position).path !== location.path || position < this.#first()) continue
      else if (hasEnded) log.flush()
      else {
        const patienceMs = unfinishedSince === undefined ? undefined : unfinishedSince + UNFINISHED_MS - Date.now()
        if (patienceMs !== undefined && patienceMs <= 0) log.flush()
        else await waitForChange(change, signal, patienceMs)
      }
      const chunk = log.take()
      if (chunk !== undefined) yield chunk
      if (bytesRead === 0 && hasEnded) return
      if (chunk !== undefined || !log.isWaiting) unfinishedSince = undefined
      if (log.isWaiting) unfinishedSince ??= Date.now()
    }
  }

  /** Files that end at or before `offset` are deleted. */
  acknowledge(offset: number): void {
    while (this.#rotated[0] !== undefined && this.#rotated[0].base + this.#rotated[0].size <= offset) this.#dropFirst()
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    clearTimeout(this.#check)
    this.#watcher.close()
    this.#changes.notify()
  }

  #noticed(): void {
    if (this.#isClosed) return
    if (this.#isRotating && this.#exists(CURRENT_LOG)) this.#finishRotation()
    this.#changes.notify()
    this.#check ??= setTimeout(() => {
      this.#check = undefined
      if (!this.#isRotating && !this.#ended && this.#sizeOf(CURRENT_LOG) >= this.#rotateAt) this.#rotate()
    }, CHECK_MS).unref()
  }

  #rotate(): void {
    renameSync(this.#path(CURRENT_LOG), this.#path(rotatedName(this.#base)))
    this.#isRotating = true
    this.#reopen()
  }

  #resumeRotation(last: Rotated): void {
    this.#rotated.pop()
    this.#base = last.base
    this.#isRotating = true
    this.#reopen()
  }

  #finishRotation(): void {
    const rotated = { base: this.#base, size: this.#sizeOf(rotatedName(this.#base)) }
    this.#isRotating = false
    this.#base += rotated.size
    // Recorded before a file may be deleted from whose name it could be found.
    writeFileSync(this.#path(`${BASE}.new`), String(this.#base))
    renameSync(this.#path(`${BASE}.new`), this.#path(BASE))
    this.#rotated.push(rotated)
    let kept = this.#rotated.reduce((sum, { size }) => sum + size, 0)
    while (kept + this.#rotateAt > this.#keepAtMost && this.#rotated[0] !== undefined) {
      kept -= this.#rotated[0].size
      this.#dropFirst()
    }
  }

  #dropFirst(): void {
    const first = this.#rotated.shift()
    if (first !== undefined) rmSync(this.#path(rotatedName(first.base)), { force: true })
  }

  /** Offset of the oldest byte kept. */
  #first(): number {
    return this.#rotated[0]?.base ?? this.#base
  }

  #locate(position: number): Location {
    const rotated = this.#rotated.find(({ base, size }) => position < base + size)
    if (rotated !== undefined) {
      return { path: this.#path(rotatedName(rotated.base)), base: rotated.base }
    }
    return { path: this.#path(this.#isRotating ? rotatedName(this.#base) : CURRENT_LOG), base: this.#base }
  }

  #rotatedFiles(): Rotated[] {
    return readdirSync(this.#directory)
      .filter(name => /^\d+\.log$/.test(name))
      .sort()
      .map(name => ({ base: Number.parseInt(name, 10), size: this.#sizeOf(name) }))
  }

  #recordedBase(): number {
    return this.#exists(BASE) ? Number(readFileSync(this.#path(BASE), 'utf8')) : 0
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }

  #exists(name: string): boolean {
    return statSync(this.#path(name), { throwIfNoEntry: false }) !== undefined
  }

  #sizeOf(name: string): number {
    return statSync(this.#path(name), { throwIfNoEntry: false })?.size ?? 0
  }
}

const rotatedName = (base: number): string => `${String(base).padStart(16, '0')}.log`

const droppedLine = (bytes: number): OutputChunk['lines'][number] => ({
  time: Date.now(),
  stream: 'stderr',
  text: `[${bytes} bytes of output were dropped here: nobody stored them in time]`,
})

/** The file that a reader is in. Known by its offset too, because every file is `current.log` once. */
class OpenFile implements AsyncDisposable {
  #handle: FileHandle | undefined
  #location: Location | undefined

  /** Reads what lies at an offset of the whole output; 0 when there is nothing yet, or the file is gone. */
  async read(location: Location, buffer: Buffer, position: number): Promise<number> {
    if (this.#location?.path !== location.path || this.#location.base !== location.base) {
      await this[Symbol.asyncDispose]()
      this.#handle = await openIfPresent(location.path)
      if (this.#handle === undefined) return 0
      this.#location = location
    }
    const result = await this.#handle?.read(buffer, 0, buffer.length, position - location.base)
    return result?.bytesRead ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    this.#location = undefined
    await handle?.close()
  }
}

async function openIfPresent(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
