/**
 * Namespaces belong to threads, and Node has several: what is entered here holds for the main thread alone, so only
 * synchronous work may be done before leaving again or before `process.execve`.
 */
import { closeSync, openSync } from 'node:fs'
import { call } from './libc.ts'
import { setPropagation, unmount } from './mount.ts'

const CLONE_NEWNS = 0x20000
const CLONE_NEWNET = 0x40000000

/**
 * Gives this thread a mount namespace of its own, of which nothing is seen outside. For a launcher that goes on
 * synchronously to `process.execve`.
 */
export function enterPrivateMountNamespace(): void {
  call('unshare', 'make a mount namespace', CLONE_NEWNS)
  setPropagation('/', 'private', { recursive: true })
}

/**
 * Makes a mount point the root of this thread's mount namespace, which must be a private one, and leaves nothing of the
 * former root in it.
 */
export function enterRoot(root: string): void {
  process.chdir(root)
  // Both on one directory: the former root then lies on top of the new one, and goes with the unmount.
  call('pivotRoot', `make ${root} the root`, '.', '.')
  unmount('.')
  process.chdir('/')
}

/** Runs `work`, which must be synchronous, in the network namespace of a process. */
export function inNetworkNamespace<T>(pid: number, work: () => T extends Promise<unknown> ? never : T): T {
  const own = openSync('/proc/thread-self/ns/net', 'r')
  try {
    const theirs = openSync(`/proc/${pid}/ns/net`, 'r')
    try {
      call('setns', `enter the network namespace of process ${pid}`, theirs, CLONE_NEWNET)
    } finally {
      closeSync(theirs)
    }
    try {
      return work()
    } finally {
      // A thread left in a tenant's namespace must not serve anybody else.
      try {
        call('setns', 'return to the network namespace of the host', own, CLONE_NEWNET)
      } catch {
        process.abort()
      }
    }
  } finally {
    closeSync(own)
  }
}
