/** Makes the machine ready for sandboxes: what they are made of, where they are mounted, their network. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { ensureAgentBundle } from './agent-bundle.ts'
import { Software } from './base/software.ts'
import { CgroupHierarchies } from './cgroup.ts'
import { mountPoints, unmountBelow } from './garbage.ts'
import type { HostProviderOptions } from './host-options.ts'
import type { HostPaths } from './instance.ts'
import { bindMount, mountFileSystem, setPropagation } from './kernel/mount.ts'
import { LayerStore } from './layer-store.ts'
import type { Machine } from './machine.ts'
import { MountNamespaces } from './mount-namespaces.ts'
import { SandboxNetwork } from './network/sandbox-network.ts'
import { registryAddresses } from './registry-addresses.ts'
import { UidRanges } from './uid-ranges.ts'

export async function prepareMachine(
  paths: HostPaths,
  options: HostProviderOptions,
  { usedSlots }: { usedSlots: readonly number[] },
): Promise<Machine> {
  const { instance, cacheDir, runDir, egressAllow = [], registryHosts = [], registryEnv = {}, onProgress } = options
  const ranges = new UidRanges({ instance, used: usedSlots })
  const [software, agent] = await Promise.all([
    Software.prepare({ cacheDir, registryEnv, user: ranges.ownUser, ...(onProgress && { onProgress }) }),
    ensureAgentBundle({ cacheDir }),
  ])
  prepareRunDirectory(paths, runDir)
  // Sandboxes that run keep the one they have.
  unmountBelow(paths.code)
  bindMount(agent, paths.code, { readOnly: true, noSuid: true, noDev: true })
  raiseInotifyLimits()
  return {
    instance,
    paths,
    hierarchies: CgroupHierarchies.detect(),
    network: await SandboxNetwork.start({ instance, stateDir: paths.network, egressAllow }),
    layers: new LayerStore(paths),
    ranges,
    mountNamespaces: new MountNamespaces(ranges),
    software,
    openFiles: hardLimitOfOpenFiles(),
    registryAddresses: registryAddresses(registryHosts),
  }
}

function prepareRunDirectory(paths: HostPaths, runDir: string): void {
  mkdirSync(runDir, { recursive: true, mode: 0o711 })
  mkdirSync(paths.run, { recursive: true, mode: 0o711 })
  if (!mountPoints().includes(paths.run)) {
    mountFileSystem(paths.run, { source: 'tmpfs', type: 'tmpfs', data: 'mode=711,size=64m', noSuid: true, noDev: true })
    // A mount namespace that is a slave of ours must not keep a disk busy that is unmounted here.
    setPropagation(paths.run, 'shared')
  }
  mkdirSync(paths.own, { recursive: true, mode: 0o711 })
  for (const directory of [paths.code, paths.empty]) mkdirSync(directory, { recursive: true, mode: 0o755 })
  for (const directory of [paths.exits, paths.runtimeState, paths.layerMounts]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }
}

/** The kernel's defaults are for one person's desktop; each sandbox has a limit of its own below these. */
function raiseInotifyLimits(): void {
  const wanted = { max_user_instances: 65_536, max_user_watches: 1_048_576 }
  for (const [name, value] of Object.entries(wanted)) {
    const path = `/proc/sys/fs/inotify/${name}`
    if (Number(readFileSync(path, 'utf8')) < value) writeFileSync(path, String(value))
  }
}

function hardLimitOfOpenFiles(): number {
  const hard = /^Max open files +\S+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return Math.min(Number(hard ?? 1024), 65_536)
}
