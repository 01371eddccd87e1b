/** Makes a sandbox from nothing to a running main process. When it throws, what is there is left to be collected. */
import { execFile } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { promisify } from 'node:util'
import type { SandboxSpec } from '@coderunner/runtime'
import { AGENT_ENTRY, AGENT_NODE } from './agent-bundle.ts'
import { AGENT_SOCKET, awaitAgent } from './agent-connection.ts'
import { SandboxCgroup } from './cgroup.ts'
import { startMonitor } from './conmon.ts'
import { createDisk, onDisk } from './disk.ts'
import { sandboxPaths } from './instance.ts'
import { CERTIFICATES } from './jail/machine-files.ts'
import { systemEnvironment } from './kernel/system-programs.ts'
import type { Machine } from './machine.ts'
import { type Bind, ociConfig } from './oci-config.ts'
import { OciRuntime } from './oci-runtime.ts'
import { CURRENT_LOG } from './output-spool.ts'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'
import { AGENT_DIR, APP_DIR, CODE_DIR, HOME_DIR, writeRootFiles } from './root-files.ts'
import { mountSandbox, type SandboxMounts } from './sandbox-mounts.ts'
import type { Stopwatch } from './stopwatch.ts'

const run = promisify(execFile)

const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Counted by the kernel per user namespace and all above it: one sandbox must not take everybody's. */
const INOTIFY_LIMITS = ['user.max_inotify_instances=512', 'user.max_inotify_watches=65536']

export interface Launched {
  main: ProcessIdentity
  conmon: ProcessIdentity
}

export async function launchSandbox(
  machine: Machine,
  {
    spec,
    slot,
    runtimePath,
    stopwatch,
  }: { spec: SandboxSpec; slot: number; runtimePath: string; stopwatch: Stopwatch },
): Promise<Launched> {
  const { paths, network, ranges } = machine
  const { id } = spec
  const own = sandboxPaths(paths, id)
  const software = await machine.software.layersOf(spec)
  stopwatch.lap('software')
  for (const directory of [own.run, own.disk]) mkdirSync(directory, { mode: 0o711 })
  mkdirSync(own.bundle, { mode: 0o700 })
  mkdirSync(own.output, { recursive: true, mode: 0o700 })

  await using namespace = mountNamespace(machine, slot)
  const link = { slot, group: spec.group, egress: spec.network.egress, allow: await alwaysReached(spec, machine) }
  const cgroup = new SandboxCgroup(machine.hierarchies, { instance: machine.instance, id })
  cgroup.prepare()
  const conmonOptions = {
    id,
    runtimePath,
    runtimeState: paths.runtimeState,
    bundle: own.bundle,
    logPath: join(own.output, CURRENT_LOG),
    exitDir: paths.exits,
  }
  // It comes up beside what is done here.
  using monitor = startMonitor(conmonOptions, pid => cgroup.enter(pid))

  await createDisk(own.image, own.disk, spec.limits.diskMb)
  stopwatch.lap('disk')
  const appLayers = machine.layers.acquire(spec.layers, id)
  writeRootFiles(join(own.disk, onDisk.rootUpper), {
    hostname: id,
    address: network.addressOf(slot),
    nameserver: network.gateway,
  })
  const { mainPid, conmonPid } = await (async () => {
    using mounts = mountSandbox({
      run: own.run,
      disk: own.disk,
      userNamespaceFd: await namespace.fd,
      rootLayers: software.layers,
      appLayers: appLayers.length === 0 ? [paths.empty] : appLayers,
    })
    const config = ociConfig({
      ...mainProcess(spec, software.env),
      hostname: id,
      firstId: ranges.rootOf(slot),
      rootfs: mounts.root,
      binds: bindsOf(spec, machine, mounts),
      cgroupPath: cgroup.containerPath,
      limits: spec.limits,
      openFiles: machine.openFiles,
    })
    writeFileSync(join(own.bundle, 'config.json'), JSON.stringify(config), { mode: 0o600 })
    stopwatch.lap('mounts')
    const creating = monitor.createContainer()
    // Takes no longer than the container.
    const [created] = await allSettled([creating, network.admit(link)])
    stopwatch.lap('container')
    return created
  })()

  const main = required(identify(mainPid), 'main process')
  const conmon = required(identify(conmonPid), 'monitor')
  const runtime = new OciRuntime({ path: runtimePath, stateDir: paths.runtimeState })
  const connect = async (): Promise<void> => {
    await network.attach({ ...link, pid: mainPid })
    stopwatch.lap('network')
  }
  const start = async (): Promise<void> => {
    await runtime.start(id)
    stopwatch.lap('start')
  }
  if (spec.main.kind === 'command') {
    // Before its first instruction: a program must not find itself without limits, however early it looks.
    await allSettled([connect(), limitInotify(main)])
    await start()
  } else {
    // The agent itself needs no network, and runs nothing before it is asked.
    const hasEnded = (): boolean => existsSync(join(paths.exits, id))
    await allSettled([awaitAgent(own.agent, start, hasEnded), connect(), limitInotify(main)])
    stopwatch.lap('agent')
  }
  return { main, conmon }
}

/** Of the sandbox's own user namespace, which only a process in it can set. One that has ended already needs none. */
async function limitInotify(main: ProcessIdentity): Promise<void> {
  const sysctl = ['sysctl', '--quiet', '--write', ...INOTIFY_LIMITS]
  try {
    await run('nsenter', ['--target', String(main.pid), '--user', ...sysctl], { env: systemEnvironment })
  } catch (error) {
    if (isAlive(main)) throw error
  }
}

function bindsOf({ main }: SandboxSpec, { paths, software }: Machine, mounts: SandboxMounts): Bind[] {
  const agent: Bind[] = [
    { source: mounts.agent, destination: AGENT_DIR },
    { source: paths.code, destination: CODE_DIR, readOnly: true },
    { source: software.nodePath, destination: posix.join(CODE_DIR, AGENT_NODE), readOnly: true },
  ]
  return [
    { source: mounts.app, destination: APP_DIR },
    ...(main.kind === 'agent' ? agent : []),
    ...(existsSync(CERTIFICATES) ? [{ source: CERTIFICATES, destination: CERTIFICATES, readOnly: true }] : []),
  ]
}

/** Addresses of the package registries, for who builds. */
export async function alwaysReached({ main, network }: SandboxSpec, machine: Machine): Promise<readonly string[]> {
  return main.kind === 'agent' && network.egress === 'internet' ? machine.registryAddresses() : []
}

/** Waits for all, so that nothing is still at work when a failure is cleaned up. */
async function allSettled<T extends readonly Promise<unknown>[]>(
  work: readonly [...T],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work)
  return Promise.all(work)
}

function mountNamespace({ mountNamespaces }: Machine, slot: number): AsyncDisposable & { fd: Promise<number> } {
  const fd = mountNamespaces.take(slot)
  fd.catch(() => {}) // told to who waits for it
  const close = (made: number): void => closeSync(made)
  return { fd, [Symbol.asyncDispose]: () => fd.then(close, () => {}) }
}

function required(identity: ProcessIdentity | undefined, what: string): ProcessIdentity {
  if (identity === undefined) throw new Error(`The sandbox's ${what} ended before it began.`)
  return identity
}

function mainProcess(
  spec: SandboxSpec,
  buildEnv: Readonly<Record<string, string>>,
): {
  argv: string[]
  env: Record<string, string>
  cwd: string
  user: 'root' | 'user'
} {
  const own = { PATH: SEARCH_PATH, LANG: 'C.UTF-8' }
  if (spec.main.kind === 'command') {
    return {
      argv: ['/usr/bin/tini', '--', ...spec.main.argv],
      env: { ...own, HOME: HOME_DIR, USER: 'user', LOGNAME: 'user', ...spec.env },
      cwd: posix.resolve(APP_DIR, spec.main.cwd ?? '.'),
      user: 'user',
    }
  }
  return {
    argv: ['/usr/bin/tini', '--', posix.join(CODE_DIR, AGENT_NODE), posix.join(CODE_DIR, AGENT_ENTRY)],
    env: {
      ...own,
      HOME: '/root',
      CR_AGENT_SOCKET: posix.join(AGENT_DIR, AGENT_SOCKET),
      CR_APP_DIR: APP_DIR,
      CR_SANDBOX_ENV: JSON.stringify({ LANG: own.LANG, ...buildEnv, ...spec.env }),
    },
    cwd: '/',
    user: 'root',
  }
}
