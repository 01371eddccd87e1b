/**
 * What a sandbox sees as its root and its application directory: overlays of read-only layers and the sandbox's own
 * disk, all with owners mapped into its range of ids. What lies on disk is owned as it looks inside.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { onDisk } from './disk.ts'
import { idmappedMount, mountOverlay, unmount } from './kernel/mount.ts'

export interface SandboxTrees {
  /** The sandbox's directory on the tmpfs. */
  run: string
  /** Its disk, mounted. */
  disk: string
  /** Maps what lies on disk to the sandbox's ids. */
  userNamespaceFd: number
  /** The topmost first. */
  rootLayers: readonly string[]
  appLayers: readonly string[]
}

export interface SandboxMounts extends Disposable {
  root: string
  app: string
  /** The directory for the agent's socket. */
  agent: string
}

/**
 * Dispose when the container has been created: its own namespace keeps what it needs, and it all ends with it. When this
 * throws, what is mounted below `run` is left to be collected.
 */
export function mountSandbox({ run, disk, userNamespaceFd, rootLayers, appLayers }: SandboxTrees): SandboxMounts {
  const mountPoint = (name: string): string => {
    const path = join(run, name)
    mkdirSync(path, { mode: 0o711 })
    return path
  }
  const parts: string[] = []
  const mapped = (source: string, readOnly: boolean): string => {
    const target = mountPoint(String(parts.length))
    idmappedMount(source, target, { userNamespaceFd, readOnly, noDev: true })
    parts.push(target)
    return target
  }
  const upper = mapped(disk, false)
  const overlay = (name: string, lower: string[], upperName: string, workName: string): string => {
    const target = mountPoint(name)
    mountOverlay(target, { lower, upper: join(upper, upperName), work: join(upper, workName) })
    return target
  }
  const lowerOf = (layers: readonly string[]): string[] => layers.map(layer => mapped(layer, true))
  const root = overlay('r', lowerOf(rootLayers), onDisk.rootUpper, onDisk.rootWork)
  const app = overlay('a', lowerOf(appLayers), onDisk.appUpper, onDisk.appWork)
  const agent = mountPoint('s')
  idmappedMount(join(disk, onDisk.agent), agent, { userNamespaceFd, noDev: true })
  // The overlays hold on to them.
  for (const part of parts) unmount(part)
  return {
    root,
    app,
    agent,
    [Symbol.dispose]: () => {
      for (const target of [agent, app, root]) unmount(target)
    },
  }
}
