/** Makes a sandbox from nothing to a running main process. When it throws, what is there is left to be collected. */
import { execFile } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { promisify } from 'node:util'
import type { SandboxSpec } from '@coderunner/runtime'
import { AGENT_ENTRY } from './agent-bundle.ts'
import { AGENT_SOCKET, awaitAgent } from './agent-connection.ts'
import { SandboxCgroup } from './cgroup.ts'
import { createContainer } from './conmon.ts'
import { createDisk, onDisk } from './disk.ts'
import { sandboxPaths } from './instance.ts'
import { systemEnvironment } from './kernel/system-programs.ts'
import { type IdMapping, openUserNamespace } from './kernel/user-namespace.ts'
import type { Machine } from './machine.ts'
import { type Bind, ociConfig } from './oci-config.ts'
import { OciRuntime } from './oci-runtime.ts'
import { CURRENT_LOG } from './output-spool.ts'
import { identify, type ProcessIdentity } from './process-identity.ts'
import { AGENT_DIR, APP_DIR, CODE_DIR, HOME_DIR, writeRootFiles } from './root-files.ts'
import { mountSandbox } from './sandbox-mounts.ts'
import type { Stopwatch } from './stopwatch.ts'

const run = promisify(execFile)

const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** The machine's own, so that a sandbox trusts whom the machine trusts. */
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
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
  const hostname = id
  const cgroup = new SandboxCgroup(machine.hierarchies, { instance: machine.instance, id })
  const runtime = new OciRuntime({ path: runtimePath, stateDir: paths.runtimeState })
  for (const directory of [own.run, own.disk]) mkdirSync(directory, { mode: 0o711 })
  mkdirSync(own.bundle, { mode: 0o700 })
  mkdirSync(own.output, { recursive: true, mode: 0o700 })

  const disk = createDisk(own.image, own.disk, spec.limits.diskMb)
  // Made while mkfs is at work.
  using namespace = mappedNamespace(ranges.mountMapping(slot))
  await disk
  stopwatch.lap('disk')
  const appLayers = machine.layers.acquire(spec.layers, id)
  writeRootFiles(join(own.disk, onDisk.rootUpper), {
    hostname,
    address: network.addressOf(slot),
    nameserver: network.gateway,
  })
  const { mainPid, conmonPid } = await (async () => {
    using mounts = mountSandbox({
      run: own.run,
      disk: own.disk,
      userNamespaceFd: namespace.fd,
      rootLayers: machine.rootLayers,
      appLayers: appLayers.length === 0 ? [paths.empty] : appLayers,
    })
    stopwatch.lap('mounts')
    const binds: Bind[] = [{ source: mounts.app, destination: APP_DIR }]
    if (spec.main.kind === 'agent') {
      binds.push(
        { source: mounts.agent, destination: AGENT_DIR },
        { source: paths.code, destination: CODE_DIR, readOnly: true },
      )
    }
    if (existsSync(CERTIFICATES)) binds.push({ source: CERTIFICATES, destination: CERTIFICATES, readOnly: true })
    const config = ociConfig({
      ...mainProcess(spec),
      hostname,
      firstId: ranges.rootOf(slot),
      rootfs: mounts.root,
      binds,
      cgroupPath: cgroup.containerPath,
      limits: spec.limits,
      openFiles: machine.openFiles,
    })
    writeFileSync(join(own.bundle, 'config.json'), JSON.stringify(config), { mode: 0o600 })
    cgroup.prepare()
    const created = await createContainer(
      {
        id,
        runtimePath,
        runtimeState: paths.runtimeState,
        bundle: own.bundle,
        logPath: join(own.output, CURRENT_LOG),
        exitDir: paths.exits,
      },
      pid => cgroup.enter(pid),
    )
    stopwatch.lap('container')
    return created
  })()

  const main = required(identify(mainPid), 'main process')
  const conmon = required(identify(conmonPid), 'monitor')
  const { egress } = spec.network
  const connect = async (): Promise<void> => {
    const allow = await alwaysReached(spec, machine)
    await Promise.all([
      network.attach({ slot, pid: mainPid, group: spec.group, egress, allow }),
      run('nsenter', ['--target', String(mainPid), '--user', 'sysctl', '--quiet', '--write', ...INOTIFY_LIMITS], {
        env: systemEnvironment,
      }),
    ])
    stopwatch.lap('network')
  }
  const start = async (): Promise<void> => {
    await runtime.start(id)
    stopwatch.lap('start')
  }
  if (spec.main.kind === 'command') {
    await connect()
    await start()
  } else {
    // The agent itself needs no network, and runs nothing before it is asked.
    const hasEnded = (): boolean => existsSync(join(paths.exits, id))
    await allSettled([connect(), awaitAgent(own.agent, start, hasEnded)])
    stopwatch.lap('agent')
  }
  return { main, conmon }
}

/** Addresses of the package registries, for who builds. */
export async function alwaysReached({ main, network }: SandboxSpec, machine: Machine): Promise<readonly string[]> {
  return main.kind === 'agent' && network.egress === 'internet' ? machine.registryAddresses() : []
}

/** Waits for all, so that nothing is still at work when a failure is cleaned up. */
async function allSettled(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function mappedNamespace(mapping: readonly IdMapping[]): Disposable & { fd: number } {
  const fd = openUserNamespace(mapping)
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}

function required(identity: ProcessIdentity | undefined, what: string): ProcessIdentity {
  if (identity === undefined) throw new Error(`The sandbox's ${what} ended before it began.`)
  return identity
}

function mainProcess(spec: SandboxSpec): {
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
    argv: ['/usr/bin/tini', '--', '/usr/local/bin/node', posix.join(CODE_DIR, AGENT_ENTRY)],
    env: {
      ...own,
      HOME: '/root',
      CR_AGENT_SOCKET: posix.join(AGENT_DIR, AGENT_SOCKET),
      CR_APP_DIR: APP_DIR,
      CR_SANDBOX_ENV: JSON.stringify({ LANG: own.LANG, ...spec.env }),
    },
    cwd: '/',
    user: 'root',
  }
}
