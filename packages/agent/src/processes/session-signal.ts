import { readdir, readFile } from 'node:fs/promises'
import type { Signal } from '../agent-wire.ts'

/**
 * Signals what a program's session holds. SIGTERM and SIGINT go to the program's process group; SIGKILL goes to every
 * group of the session (a shell with job control gives each job one), again until none is left.
 */
export async function signalSession(leader: number, signal: Signal): Promise<void> {
  signalGroup(leader, signal)
  if (signal !== 'SIGKILL') return
  for (let round = 0; round < 10; round++) {
    const groups = await groupsOf(leader)
    if (groups.size === 0) return
    for (const group of groups) signalGroup(group, signal)
  }
}

function signalGroup(group: number, signal: Signal): void {
  try {
    process.kill(-group, signal)
  } catch (error) {
    // Nobody there any more is what a signal is for.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** Living groups of a session. Empty where there is no /proc: the leader's own group has to do there. */
async function groupsOf(session: number): Promise<Set<number>> {
  const groups = new Set<number>()
  const names = await readdir('/proc').catch(() => [])
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')
    // The name of the program, in parentheses, may hold anything.
    const [state, , group, sessionId] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (Number(sessionId) === session && state !== 'Z') groups.add(Number(group))
  }
  return groups
}
