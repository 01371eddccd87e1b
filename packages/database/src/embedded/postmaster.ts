/** The processes of a cluster as the machine shows them, whoever started them. */
import { constants } from 'node:fs'
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

export interface Postmaster {
  pid: number
  socketDir: string
  /** Its own word: it accepts connections. */
  ready: boolean
}

export interface PostgresExit {
  /** Null for an adopted server, whose parent is another, and after a signal. */
  code: number | null
}

/**
 * What `postmaster.pid` says; undefined when there is none or it is incomplete. The directory belongs to the database's
 * user, so nothing in it is followed, waited for or believed: see `isPostmaster`.
 */
export async function readPostmaster(clusterDir: string): Promise<Postmaster | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  const file = await open(join(clusterDir, 'postmaster.pid'), O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 0)
    // pid, data directory, start time, port, socket directory, listen address, shared memory, status
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n')
    const pid = Number(lines[0])
    if (!Number.isSafeInteger(pid) || pid <= 1) return undefined
    return { pid, socketDir: lines[4] ?? '', ready: lines[7]?.trim() === 'ready' }
  } finally {
    await file.close()
  }
}

/**
 * Whether this process is the live postmaster of this very directory: pids are used again, and one restored from a
 * backup names a stranger. A postmaster works in its data directory, which is compared by identity, because its name
 * may be another one in its own mount namespace; its start time is of no use, as clocks are set.
 */
export async function isPostmaster(pid: number, clusterDir: string, uid: number | undefined): Promise<boolean> {
  if (process.platform !== 'linux') return isAlive(pid)
  if (!(await worksIn(pid, clusterDir, uid))) return false
  const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
  return command !== '' && !command.startsWith('postgres:')
}

/** Every process of the cluster, which may outlive their postmaster by a moment. Linux only; elsewhere always empty. */
export async function processesOf(clusterDir: string, uid: number | undefined): Promise<number[]> {
  if (process.platform !== 'linux') return []
  const pids = (await readdir('/proc')).map(Number).filter(Number.isSafeInteger)
  const found = await Promise.all(pids.map(pid => worksIn(pid, clusterDir, uid)))
  return pids.filter((_, index) => found[index])
}

async function worksIn(pid: number, clusterDir: string, uid: number | undefined): Promise<boolean> {
  try {
    const [own, cwd, cluster] = await Promise.all([stat(`/proc/${pid}`), stat(`/proc/${pid}/cwd`), stat(clusterDir)])
    return (uid === undefined || own.uid === uid) && cwd.dev === cluster.dev && cwd.ino === cluster.ino
  } catch {
    return false // gone, or not ours to look at
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false // gone, or another user's, which no process of ours is
  }
}
