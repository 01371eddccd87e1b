/**
 * Control groups, by file, on version 1, version 2 and the hybrid of both. A sandbox's are at `/<instance>/<id>` of every
 * hierarchy: `ctr` holds the container (the OCI runtime makes it and sets its limits), `mon` conmon and the runtime's own
 * processes. So whatever became of this daemon, everything of a sandbox is found by its name.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Usage } from '@coderunner/runtime'

/** Where the hierarchies are mounted. */
export class CgroupHierarchies {
  /** By controller, such as `memory`; empty on a pure version 2. */
  readonly legacy: ReadonlyMap<string, string>
  /** In a hybrid it carries no limits; it names groups, and can kill them. */
  readonly unified: string | undefined

  private constructor(legacy: Map<string, string>, unified: string | undefined) {
    this.legacy = legacy
    this.unified = unified
  }

  static detect(mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): CgroupHierarchies {
    const legacy = new Map<string, string>()
    let unified: string | undefined
    for (const line of mountinfo.split('\n')) {
      const [before = '', after = ''] = line.split(' - ')
      const mountPoint = before.split(' ')[4]
      const [type, , options = ''] = after.split(' ')
      if (mountPoint === undefined) continue
      if (type === 'cgroup2') unified = mountPoint
      if (type === 'cgroup') for (const option of options.split(',')) legacy.set(option, mountPoint)
    }
    for (const option of ['rw', 'ro']) legacy.delete(option)
    return new CgroupHierarchies(legacy, unified)
  }

  /** Every mount point once. */
  roots(): string[] {
    return [...new Set([...(this.unified === undefined ? [] : [this.unified]), ...this.legacy.values()])]
  }

  /** The groups' names below `/<instance>` in any hierarchy. */
  names(instance: string): Set<string> {
    return new Set(this.roots().flatMap(root => childrenOf(join(root, instance))))
  }

  /** Removes the instance's own, empty groups. */
  removeInstance(instance: string): void {
    for (const root of this.roots()) removeTree(join(root, instance))
  }

  /** Where membership is noted for killing: the unified hierarchy when there is one. */
  naming(): string {
    const root =
      this.unified ?? this.legacy.get('name=systemd') ?? this.legacy.get('pids') ?? [...this.legacy.values()][0]
    if (root === undefined) throw new Error('No cgroup hierarchy is mounted at /sys/fs/cgroup.')
    return root
  }
}

/** The groups of one sandbox. */
export class SandboxCgroup {
  readonly #hierarchies: CgroupHierarchies
  readonly #name: string
  /** For the runtime's configuration. */
  readonly containerPath: string

  constructor(hierarchies: CgroupHierarchies, { instance, id }: { instance: string; id: string }) {
    this.#hierarchies = hierarchies
    this.#name = join('/', instance, id)
    this.containerPath = join(this.#name, 'ctr')
  }

  /** Makes the group in which conmon and the runtime are to run. */
  prepare(): void {
    mkdirSync(this.#monitor(), { recursive: true })
  }

  /** Moves a process that has not forked yet into the sandbox's group. The kernel may think about it for 10 ms. */
  async enter(pid: number): Promise<void> {
    await writeFile(join(this.#monitor(), 'cgroup.procs'), String(pid))
  }

  async freeze(): Promise<void> {
    const freezer = this.#legacy('freezer')
    if (freezer === undefined) {
      writeFileSync(join(this.#unified(), 'cgroup.freeze'), '1')
      await until(() => /^frozen 1$/m.test(readFileSync(join(this.#unified(), 'cgroup.events'), 'utf8')), 'freeze')
      return
    }
    const state = join(freezer, 'freezer.state')
    writeFileSync(state, 'FROZEN')
    // The kernel tries again at each reading.
    await until(() => readFileSync(state, 'utf8').trim() === 'FROZEN', 'freeze')
  }

  thaw(): void {
    const freezer = this.#legacy('freezer')
    if (freezer === undefined) writeFileSync(join(this.#unified(), 'cgroup.freeze'), '0')
    else writeFileSync(join(freezer, 'freezer.state'), 'THAWED')
  }

  isFrozen(): boolean {
    const freezer = this.#legacy('freezer')
    if (freezer !== undefined) return readOr(join(freezer, 'freezer.state'), 'THAWED').trim() !== 'THAWED'
    return readOr(join(this.#unified(), 'cgroup.freeze'), '0').trim() === '1'
  }

  /** SIGKILL to every process of the container; conmon lives on to record the exit. */
  kill(): void {
    this.#kill('ctr')
  }

  /** Ends every process of the sandbox, conmon too, and resolves when none is left. */
  async killAll(): Promise<void> {
    await until(() => {
      this.#kill('')
      return this.#processes('').length === 0
    }, 'kill')
  }

  /** Whether the kernel has killed a process for want of memory. Ask before `remove`. */
  outOfMemory(): boolean {
    const memory = this.#legacy('memory')
    const path = memory === undefined ? join(this.#unified(), 'memory.events') : join(memory, 'memory.oom_control')
    return Number(/^oom_kill (\d+)$/m.exec(readOr(path, ''))?.[1] ?? 0) > 0
  }

  usage(): Omit<Usage, 'diskBytes'> {
    const memory = this.#legacy('memory')
    const inactive = (key: string, path: string): number =>
      Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(readOr(join(path, 'memory.stat'), ''))?.[1] ?? 0)
    if (memory === undefined) {
      const group = this.#unified()
      const cpu = Number(/^usage_usec (\d+)$/m.exec(readOr(join(group, 'cpu.stat'), ''))?.[1] ?? 0)
      return {
        // What the kernel may take back at once (file cache not used lately) is not need.
        memoryBytes: Math.max(0, readNumber(join(group, 'memory.current')) - inactive('inactive_file', group)),
        cpuSeconds: cpu / 1e6,
        pids: readNumber(join(group, 'pids.current')),
      }
    }
    return {
      memoryBytes: Math.max(
        0,
        readNumber(join(memory, 'memory.usage_in_bytes')) - inactive('total_inactive_file', memory),
      ),
      cpuSeconds: readNumber(join(this.#legacy('cpuacct') ?? '/', 'cpuacct.usage')) / 1e9,
      pids: readNumber(join(this.#legacy('pids') ?? '/', 'pids.current')),
    }
  }

  /** Removes the groups, which must be empty of processes. */
  async remove(): Promise<void> {
    await until(() => {
      for (const root of this.#hierarchies.roots()) removeTree(join(root, this.#name))
      return !this.#hierarchies.roots().some(root => existsSync(join(root, this.#name)))
    }, 'remove')
  }

  #monitor(): string {
    return join(this.#hierarchies.naming(), this.#name, 'mon')
  }

  #legacy(controller: string): string | undefined {
    const root = this.#hierarchies.legacy.get(controller)
    return root === undefined ? undefined : join(root, this.containerPath)
  }

  #unified(): string {
    return join(this.#hierarchies.unified ?? '/', this.containerPath)
  }

  #kill(part: string): void {
    if (this.isFrozen()) this.thaw()
    if (this.#hierarchies.unified !== undefined) {
      const file = join(this.#hierarchies.unified, this.#name, part, 'cgroup.kill')
      if (existsSync(file)) writeFileSync(file, '1')
    }
    // Older kernels, and what is in the group of one hierarchy only because a create was cut short.
    for (const pid of this.#processes(part)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
  }

  #processes(part: string): number[] {
    return this.#hierarchies.roots().flatMap(root => processesBelow(join(root, this.#name, part)))
  }
}

function processesBelow(group: string): number[] {
  const own = readOr(join(group, 'cgroup.procs'), '').split('\n').filter(Boolean).map(Number)
  // 0 stands for a process of another pid namespace, which is none of ours.
  return [...own.filter(pid => pid > 0), ...childrenOf(group).flatMap(name => processesBelow(join(group, name)))]
}

function childrenOf(group: string): string[] {
  try {
    return readdirSync(group, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => entry.name)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

/** Removes from the leaves up what is empty. */
function removeTree(group: string): void {
  for (const name of childrenOf(group)) removeTree(join(group, name))
  try {
    rmdirSync(group)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (!isGone(error) && !['EBUSY', 'ENOTEMPTY'].includes(code)) throw error
  }
}

const isGone = (error: unknown): boolean => ['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')

function readOr(path: string, absent: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isGone(error)) return absent
    throw error
  }
}

const readNumber = (path: string): number => Number(readOr(path, '0'))

const TIMEOUT_MS = 20_000

/** Groups of version 1 tell nobody when they change: asked again, less and less often. */
async function until(done: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS
  for (let pauseMs = 1; !done(); pauseMs = Math.min(pauseMs * 2, 50)) {
    if (Date.now() > deadline) throw new Error(`The sandbox's processes could not be brought to ${what} in 20 s.`)
    await delay(pauseMs)
  }
}
