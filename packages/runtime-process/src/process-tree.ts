import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { marker } from './holder-job.ts'

interface Process {
  pid: number
  parent: number
  marked: boolean
}

/** Living processes of a sandbox: those that carry its mark, where the system shows it, and all their descendants. */
export async function sandboxProcesses(id: string, holder: number | undefined): Promise<number[]> {
  const all = process.platform === 'linux' ? await fromProc(id) : await fromPs()
  const found = new Set(all.filter(one => one.marked || one.pid === holder).map(one => one.pid))
  for (let before = -1; before < found.size; ) {
    before = found.size
    for (const { pid, parent } of all) if (found.has(parent)) found.add(pid)
  }
  return [...found].filter(pid => pid !== process.pid)
}

/** SIGKILL to all of them but the holder, until none is left. */
export async function killSandbox(id: string, holder: number | undefined): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const pids = (await sandboxProcesses(id, holder)).filter(pid => pid !== holder)
    if (pids.length === 0) return
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Ended meanwhile.
      }
    }
  }
}

/** Zeros for one that has ended, and where there is no /proc. */
export async function processUsage(pid: number): Promise<{ memoryBytes: number; cpuSeconds: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '')
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // The kernel counts in hundredths of a second, whatever its own clock is.
  const cpuSeconds = (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
  return { memoryBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024, cpuSeconds }
}

async function fromProc(id: string): Promise<Process[]> {
  const mark = `${marker}=${id}\0`
  const names = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const processes = await Promise.all(
    names.map(async name => {
      const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (stat === '' || state === 'Z') return undefined
      const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '')
      return { pid: Number(name), parent: Number(parent), marked: `\0${environment}`.includes(`\0${mark}`) }
    }),
  )
  return processes.filter(one => one !== undefined)
}

async function fromPs(): Promise<Process[]> {
  const { stdout } = await promisify(execFile)('ps', ['-axo', 'pid=,ppid='])
  return stdout.split('\n').flatMap(line => {
    const [pid, parent] = line.trim().split(/\s+/).map(Number)
    return pid === undefined || parent === undefined ? [] : [{ pid, parent, marked: false }]
  })
}
