/** One provider to a data directory. The kernel lets go of the lock of a process that dies. */
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '@coderunner/contract'
import { call, KernelError } from './kernel/libc.ts'

const LOCK_EX = 2
const LOCK_NB = 4

/** @throws AppError `conflict` when another process has it */
export function lockDirectory(directory: string): Disposable {
  const fd = openSync(join(directory, 'lock'), 'a', 0o600)
  try {
    call('flock', `lock ${directory}`, fd, LOCK_EX | LOCK_NB)
  } catch (error) {
    closeSync(fd)
    if (!(error instanceof KernelError && ['EAGAIN', 'EWOULDBLOCK'].includes(error.code))) throw error
    throw new AppError('conflict', `Another CodeRunner is running with the data directory ${directory}: stop it first.`)
  }
  return { [Symbol.dispose]: () => closeSync(fd) }
}
