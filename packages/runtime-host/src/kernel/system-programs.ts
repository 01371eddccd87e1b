/** Programs of the system, found whatever PATH this process was started with (`su` leaves out the sbin directories). */
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'

const systemDirectories = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
export const SYSTEM_PATH = systemDirectories.join(':')

/** For programs that are to answer the same on every machine, and need nothing of our own environment. */
export const systemEnvironment = { PATH: SYSTEM_PATH, LC_ALL: 'C.UTF-8' } as const

/** Absolute path of an executable file, or undefined. */
export async function findProgram(name: string, path = SYSTEM_PATH): Promise<string | undefined> {
  for (const directory of path.split(':')) {
    const candidate = join(directory, name)
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return candidate
  }
  return undefined
}
