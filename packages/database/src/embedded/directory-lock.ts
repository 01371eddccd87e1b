import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import koffi from 'koffi'

const LOCK_EX = 2
const LOCK_NB = 4

/** Somebody else works in the directory. */
export class DirectoryLockedError extends Error {
  /** Of the holder; undefined when it did not say. */
  readonly pid: number | undefined

  constructor(path: string, pid: number | undefined) {
    super(`${path} is held by ${pid === undefined ? 'another process' : `process ${pid}`}`)
    this.name = 'DirectoryLockedError'
    this.pid = pid
  }
}

/**
 * A lock that the kernel frees when its holder ends, however it ends. The file stays and names the last holder: removing
 * it would let two processes lock two files of one name.
 */
export class DirectoryLock implements Disposable {
  #fd: number | undefined

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** @throws DirectoryLockedError */
  static acquire(path: string): DirectoryLock {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
    try {
      // null is this very program, which has the C library in it, on Linux and macOS alike.
      const flock = koffi.load(null).func('int flock(int fd, int operation)')
      if (flock(fd, LOCK_EX | LOCK_NB) !== 0) throw new DirectoryLockedError(path, readPid(fd))
      ftruncateSync(fd)
      writeSync(fd, `${process.pid}\n`, 0)
      return new DirectoryLock(fd)
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  /** The same, when the holder is about to end: waits for it. */
  static async acquireSoon(
    path: string,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<DirectoryLock> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      try {
        return DirectoryLock.acquire(path)
      } catch (error) {
        // The kernel can wait for a lock, but then nothing can end the waiting.
        if (!(error instanceof DirectoryLockedError) || Date.now() > deadline) throw error
        await delay(50, undefined, { signal })
      }
    }
  }

  /** For a child to inherit: it then holds the lock as well, and goes on holding it when we dispose of ours. */
  get fd(): number {
    if (this.#fd === undefined) throw new Error('The lock has been disposed of')
    return this.#fd
  }

  [Symbol.dispose](): void {
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
  }
}

function readPid(fd: number): number | undefined {
  const content = Buffer.alloc(16)
  const pid = Number.parseInt(content.toString('latin1', 0, readSync(fd, content, 0, content.length, 0)), 10)
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
}
