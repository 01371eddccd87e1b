/**
 * Removes whatever there is of a sandbox, found by its name alone: it works after any crash, at any moment of a
 * sandbox's life, and again and again. The order matters: what still runs would hold on to what comes later.
 */
import { readFileSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type CgroupHierarchies, SandboxCgroup } from './cgroup.ts'
import { type HostPaths, sandboxPaths } from './instance.ts'
import { attachedLoops, detachLoop } from './kernel/loop.ts'
import { unmount } from './kernel/mount.ts'

export interface Remains {
  id: string
  instance: string
  paths: HostPaths
  hierarchies: CgroupHierarchies
}

/** Ends the processes and unmounts. */
export async function endSandbox({ id, instance, paths, hierarchies }: Remains): Promise<SandboxCgroup> {
  const cgroup = new SandboxCgroup(hierarchies, { instance, id })
  await cgroup.killAll()
  unmountBelow(sandboxPaths(paths, id).run)
  return cgroup
}

/** @param leaveNetwork takes the sandbox off the network, which takes as long as ending it */
export async function removeSandbox(remains: Remains, leaveNetwork?: () => Promise<void>): Promise<void> {
  const { id, paths } = remains
  const own = sandboxPaths(paths, id)
  const [cgroup] = await Promise.all([endSandbox(remains), leaveNetwork?.()])
  for (const { device, imagePath } of await attachedLoops()) if (imagePath === own.image) detachLoop(device)
  await cgroup.remove()
  await rm(join(paths.runtimeState, id), { recursive: true, force: true })
  await rm(join(paths.exits, id), { force: true })
  await rm(own.run, { recursive: true, force: true })
  // Last, because it holds the record.
  await rm(own.directory, { recursive: true, force: true })
}

/** What is mounted at and below a directory. */
export function unmountBelow(directory: string): void {
  const isBelow = (target: string): boolean => target === directory || target.startsWith(`${directory}/`)
  for (;;) {
    const targets = mountPoints().filter(isBelow)
    if (targets.length === 0) return
    for (const target of targets.toReversed()) unmount(target)
  }
}

/** In the order they were made. */
export function mountPoints(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap(
      line =>
        line.split(' ')[4]?.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))) ?? [],
    )
}

/**
 * A conmon of ours whose starter was killed before it could put it in a group. It is found by the exit directory it was
 * given, and has started nothing that would not be found by name.
 */
export async function endStrayMonitors(paths: HostPaths, isWanted: (pid: number) => boolean): Promise<void> {
  for (const name of await readdir('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || isWanted(pid)) continue
    const argv = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0')
    const option = argv.indexOf('--exit-dir')
    if (!argv[0]?.endsWith('conmon') || option < 0 || argv[option + 1] !== paths.exits) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}
