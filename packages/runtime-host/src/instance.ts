/** What carries a name on the host carries the instance's, so that several live side by side and each finds its own. */
import { createHash } from 'node:crypto'
import { mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

/** `cr` and six hexadecimal digits made from where the data lies: the same after every restart. Creates the directory. */
export function instanceOf(dataDir: string): string {
  mkdirSync(dataDir, { recursive: true })
  return `cr${createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 6)}`
}

export const instancePattern = /^cr[0-9a-f]{6}$/

/**
 * Where the provider keeps what it has. What must survive a reboot is below `data` (root's alone); mounts, sockets and
 * the runtime's state are on a small tmpfs, `run`, whose directories may be entered but not listed by the sandboxes'
 * users.
 */
export interface HostPaths {
  data: string
  sandboxes: string
  layers: string
  network: string
  epochs: string
  /** The tmpfs. Its paths are seen in the sandboxes' mount tables: short, and without meaning. */
  run: string
  /** What on it is no sandbox's. */
  own: string
  /** Names the container runtime that was found to work. */
  runtimePath: string
  exits: string
  runtimeState: string
  layerMounts: string
  code: string
  empty: string
}

/** Beside the sandboxes' directories, and not to be confused with any. */
export const OWN_DIRECTORY = '-'

export function hostPaths({ dataDir, runDir }: { dataDir: string; runDir: string }): HostPaths {
  const run = join(runDir, 'm')
  const own = join(run, OWN_DIRECTORY)
  return {
    data: dataDir,
    sandboxes: join(dataDir, 'sandboxes'),
    layers: join(dataDir, 'layers'),
    network: join(dataDir, 'network'),
    epochs: join(dataDir, 'epochs'),
    run,
    own,
    runtimePath: join(own, 'runtime-path'),
    exits: join(own, 'exits'),
    runtimeState: join(own, 'runtime'),
    layerMounts: join(own, 'layers'),
    code: join(own, 'code'),
    empty: join(own, 'empty'),
  }
}

/** Paths of one sandbox. */
export interface SandboxPaths {
  /** On disk, root's alone. */
  directory: string
  record: string
  image: string
  output: string
  /** On the tmpfs. */
  run: string
  /** The sandbox's disk, mounted as long as the sandbox is there. */
  disk: string
  /** Holds the agent's socket; on the sandbox's own disk, and the sandbox may write it. */
  agent: string
  bundle: string
}

export function sandboxPaths(paths: HostPaths, id: string): SandboxPaths {
  const directory = join(paths.sandboxes, id)
  const run = join(paths.run, id)
  return {
    directory,
    record: join(directory, 'record.json'),
    image: join(directory, 'image'),
    output: join(directory, 'output'),
    run,
    disk: join(run, 'd'),
    agent: join(run, 'd', 'cr'),
    bundle: join(run, 'b'),
  }
}
