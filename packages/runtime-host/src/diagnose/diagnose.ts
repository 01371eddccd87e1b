import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readFile, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Diagnosis } from '@coderunner/runtime'
import { freeLoop } from '../kernel/loop.ts'
import { findProgram, systemEnvironment } from '../kernel/system-programs.ts'
import { hostResolver } from '../network/host-routes.ts'
import { cgroupMode } from './cgroup-mode.ts'
import { findForwardDrops } from './forward-rules.ts'
import { probeIdmappedMount, probeOverlay, probeUserNamespace } from './kernel-probes.ts'
import { installCommand, missingPackages, requiredPrograms } from './required-packages.ts'

const run = promisify(execFile)

/** Answers a detail when all is well, throws when not. */
type Check = () => string | Promise<string>

const FREE_DISK_BYTES = 5 * 1024 ** 3
const FORWARDING = '/proc/sys/net/ipv4/ip_forward'

/**
 * Tries whether sandboxes can run on this machine: every requirement with what was found, and where one is not met, the
 * command that mends it.
 */
export async function diagnoseHost(options: { dataDir?: string } = {}): Promise<Diagnosis[]> {
  const platform = [
    await diagnose('linux', checkLinux, 'Run CodeRunner on Linux, in a virtual machine for instance.'),
    await diagnose('root', checkRoot, 'Run it as root: sudo npm start'),
  ]
  // Without these nothing below can be tried.
  if (platform.some(({ ok }) => !ok)) return platform
  const rest = [
    diagnose('programs', checkPrograms, async () => installCommand(await missingPackages())),
    diagnose('container runtime', checkContainerRuntime, installCommand(['runc'])),
    diagnose('user namespaces', tried(probeUserNamespace), 'sysctl -w user.max_user_namespaces=15000'),
    diagnose('overlay file system', tried(probeOverlay), 'modprobe overlay'),
    diagnose('mapped mounts', tried(probeIdmappedMount), 'Use Linux 5.19 or newer.'),
    diagnose('loop devices', () => `${freeLoop()} is free`, 'modprobe loop'),
    diagnose('control groups', checkCgroups, 'Boot with cgroup_enable=memory systemd.unified_cgroup_hierarchy=1'),
    diagnose('ip forwarding', checkForwarding, 'sysctl -w net.ipv4.ip_forward=1'),
    diagnose('other firewalls', checkForwardDrops, forwardFix),
    diagnose('name server', checkResolver, 'Put an IPv4 name server into /etc/resolv.conf.'),
    diagnose('free disk', async () => checkDisk(options.dataDir ?? '/var/lib'), 'Free at least 5 GB.'),
  ]
  return [...platform, ...(await Promise.all(rest))]
}

async function diagnose(name: string, check: Check, fix: string | (() => Promise<string>)): Promise<Diagnosis> {
  try {
    return { name, ok: true, detail: await check() }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { name, ok: false, detail, fix: typeof fix === 'string' ? fix : await fix() }
  }
}

const tried =
  (probe: () => void): Check =>
  () => {
    probe()
    return 'tried, works'
  }

const checkLinux: Check = async () => {
  if (process.platform !== 'linux') throw new Error(`This is ${process.platform}: sandboxes need Linux.`)
  return `Linux ${(await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim()} on ${process.arch}`
}

const checkRoot: Check = async () => {
  if (process.geteuid?.() !== 0) throw new Error('This program does not run as root.')
  const status = await readFile('/proc/self/status', 'utf8')
  const effective = BigInt(`0x${/^CapEff:\s*(\w+)$/m.exec(status)?.[1] ?? '0'}`)
  const CAP_NET_ADMIN = 12n
  const CAP_SYS_ADMIN = 21n
  if (((effective >> CAP_SYS_ADMIN) & 1n) === 0n || ((effective >> CAP_NET_ADMIN) & 1n) === 0n) {
    throw new Error('root lacks CAP_SYS_ADMIN or CAP_NET_ADMIN here, as in an unprivileged container.')
  }
  return 'root, with the capabilities it takes'
}

const checkPrograms: Check = async () => {
  const missing = await missingPackages()
  if (missing.length > 0) {
    const purposes = requiredPrograms.filter(entry => missing.includes(entry.debianPackage))
    throw new Error(purposes.map(({ program, purpose }) => `${program} is missing: it ${purpose}`).join('; '))
  }
  return requiredPrograms.map(({ program }) => program).join(', ')
}

const checkContainerRuntime: Check = async () => {
  const path = (await findProgram('runc')) ?? (await findProgram('crun'))
  if (path === undefined) throw new Error('neither runc nor crun is installed')
  const { stdout } = await run(path, ['--version'], { env: systemEnvironment })
  const first = stdout.split('\n')[0] ?? ''
  const version = /^runc version (\d+)\.(\d+)\.(\d+)/.exec(first)?.slice(1).map(Number)
  return version !== undefined && isOlder(version, [1, 2, 8])
    ? `${first}; upstream mended CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881 in 1.2.8: take your distribution's update`
    : first
}

const isOlder = (version: readonly number[], than: readonly number[]): boolean => {
  const at = version.findIndex((part, index) => part !== than[index])
  return at >= 0 && (version[at] ?? 0) < (than[at] ?? 0)
}

const checkCgroups: Check = async () => {
  const { mode, controllers } = await cgroupMode()
  const missing = ['cpu', 'memory', 'pids'].filter(controller => !controllers.has(controller))
  if (missing.length > 0) throw new Error(`control groups (${mode}) lack ${missing.join(', ')}`)
  return `${mode}, with cpu, memory and pids`
}

const checkForwarding: Check = async () => {
  if ((await readFile(FORWARDING, 'utf8')).trim() === '1') return 'on'
  await access(FORWARDING, constants.W_OK)
  return 'off; it is turned on when CodeRunner starts'
}

const checkForwardDrops: Check = async () => {
  const drops = await findForwardDrops()
  if (drops.length === 0) return 'none in the way'
  const where = drops.map(drop => drop.where).join(', ')
  throw new Error(`${where} drops forwarded packets: sandboxes reach neither each other nor the internet`)
}

const forwardFix = async (): Promise<string> => {
  const drops = await findForwardDrops().catch(() => [])
  return drops.length === 0 ? installCommand(['nftables']) : drops.map(drop => drop.fix).join(' && ')
}

const checkResolver: Check = async () => {
  const resolver = await hostResolver()
  if (resolver === undefined) throw new Error('/etc/resolv.conf names no IPv4 server: sandboxes cannot resolve names')
  return resolver
}

async function checkDisk(path: string): Promise<string> {
  const found = await statfs(path).catch(async () => statfs(dirname(path)).catch(async () => statfs('/')))
  const free = found.bavail * found.bsize
  const detail = `${(free / 1024 ** 3).toFixed(1)} GB free for ${path}`
  if (free < FREE_DISK_BYTES) throw new Error(detail)
  return detail
}
