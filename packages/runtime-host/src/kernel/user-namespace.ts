/** User namespaces that exist only to say how owners are mapped. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { call } from './libc.ts'
import { systemEnvironment } from './system-programs.ts'

/** `size` ids from `inside` on are `outside` and following on the host. */
export interface IdMapping {
  inside: number
  outside: number
  size: number
}

const O_CLOEXEC = 0x80000

/**
 * A descriptor of a new user namespace with these mappings of users and groups alike, for `idmappedMount`. Close it when
 * the mounts are made. Takes about 2 ms: a process has to be born in the namespace, and ends by itself.
 */
export function openUserNamespace(mappings: readonly IdMapping[]): number {
  const [order, orderWrite] = pipe()
  const [answer, answerWrite] = pipe()
  try {
    // The child echoes one byte when it is in its namespace, and ends when the pipe closes.
    const child = spawn('unshare', ['--user', '/bin/cat'], {
      stdio: [order, answerWrite, 'ignore'],
      env: systemEnvironment,
    })
    child.on('error', () => {}) // told below, where nothing comes back
    closeSync(answerWrite)
    writeSync(orderWrite, '\n')
    if (child.pid === undefined || readSync(answer, Buffer.alloc(1)) !== 1) {
      throw new Error(REFUSED)
    }
    return mapped(child.pid, mappings)
  } finally {
    for (const fd of [order, orderWrite, answer]) closeSync(fd)
  }
}

/**
 * The same without waiting in this thread, for namespaces that are made ahead of their use.
 * @returns the descriptor
 */
export async function makeUserNamespace(mappings: readonly IdMapping[]): Promise<number> {
  const child = spawn('unshare', ['--user', '/bin/cat'], { stdio: ['pipe', 'pipe', 'ignore'], env: systemEnvironment })
  child.on('error', () => {}) // told below, where nothing comes back
  child.stdin.on('error', () => {})
  try {
    child.stdin.write('\n')
    const [echo] = await Promise.race([once(child.stdout, 'data'), once(child, 'close').then(() => [])])
    if (child.pid === undefined || echo === undefined) throw new Error(REFUSED)
    return mapped(child.pid, mappings)
  } finally {
    child.stdin.destroy()
    child.stdout.destroy()
  }
}

const REFUSED = 'unshare --user failed: are user namespaces allowed on this machine?'

function mapped(pid: number, mappings: readonly IdMapping[]): number {
  const map = mappings.map(({ inside, outside, size }) => `${inside} ${outside} ${size}\n`).join('')
  writeFileSync(`/proc/${pid}/uid_map`, map)
  writeFileSync(`/proc/${pid}/gid_map`, map)
  return openSync(`/proc/${pid}/ns/user`, 'r')
}

function pipe(): [read: number, write: number] {
  const fds = new Int32Array(2)
  call('pipe2', 'make a pipe', fds, O_CLOEXEC)
  return [fds[0] as number, fds[1] as number]
}
