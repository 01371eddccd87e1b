/** Giving up rights for good, in a launcher, before `process.execve`. */
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { call } from './libc.ts'

const PR_SET_PDEATHSIG = 1
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const PR_CAP_AMBIENT = 47
const PR_CAP_AMBIENT_CLEAR_ALL = 4
const EINVAL_PAST_LAST = /EINVAL$/

/** This process and all it becomes can gain no rights by running a program. */
export function setNoNewPrivileges(): void {
  call('prctl', 'set no_new_privs', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

/**
 * This process, and what it becomes by running another program, is killed when its parent ends. The kernel forgets it
 * when the user changes.
 */
export function dieWithParent(): void {
  call('prctl', 'ask to end with the parent', PR_SET_PDEATHSIG, constants.signals.SIGKILL, 0, 0, 0)
}

/** Empties the set of capabilities that any program run from here could ever have. */
export function dropCapabilityBounds(): void {
  const last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'))
  for (let capability = 0; capability <= last; capability++) {
    try {
      call('prctl', `drop capability ${capability}`, PR_CAPBSET_DROP, capability, 0, 0, 0)
    } catch (error) {
      if (!(error instanceof Error && EINVAL_PAST_LAST.test(error.message))) throw error
    }
  }
  call('prctl', 'clear ambient capabilities', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
}

/**
 * Becomes this user with these groups and nothing more: no capabilities, now or later. The bounding set goes first, as
 * root may still do it; changing the user then empties the others.
 */
export function becomeUser({ uid, gid, groups = [] }: { uid: number; gid: number; groups?: readonly number[] }): void {
  dropCapabilityBounds()
  process.setgroups?.([...groups])
  process.setgid?.(gid)
  process.setuid?.(uid)
  setNoNewPrivileges()
}
