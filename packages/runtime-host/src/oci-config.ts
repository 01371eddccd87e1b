/** The OCI configuration of a sandbox's container. Pure: what it names, others have made. */
import type { Limits } from '@coderunner/runtime'
import { seccompProfile } from './seccomp.ts'
import { RANGE_SIZE } from './uid-ranges.ts'

export interface Container {
  hostname: string
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  /** `root` is the sandbox's own, with the rights to act for its users; `user` has no rights at all. */
  user: 'root' | 'user'
  /** The host's id of the sandbox's root. */
  firstId: number
  rootfs: string
  binds: readonly Bind[]
  cgroupPath: string
  limits: Limits
  /** This process's own hard limit of open files, above which the runtime could not go. */
  openFiles: number
}

export interface Bind {
  source: string
  destination: string
  readOnly?: boolean
}

export const USER_ID = 1000

/** What the agent needs to start programs as the user, to stop them, and to set owners: of the sandbox's own ids only. */
const AGENT_CAPABILITIES = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_SETUID', 'CAP_SETGID', 'CAP_KILL']

const PROC = 'nosuid noexec nodev'.split(' ')

const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
  // Names the images behind all loop devices of the machine.
  '/sys/devices/virtual/block',
]
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

const CPU_PERIOD_US = 100_000
const MEGABYTE = 1024 ** 2

export function ociConfig(container: Container): object {
  const { limits, firstId } = container
  const isRoot = container.user === 'root'
  const capabilities = isRoot ? AGENT_CAPABILITIES : []
  const id = isRoot ? 0 : USER_ID
  const mapping = [{ containerID: 0, hostID: firstId, size: RANGE_SIZE }]
  return {
    ociVersion: '1.0.2',
    hostname: container.hostname,
    process: {
      terminal: false,
      user: { uid: id, gid: id },
      args: container.argv,
      env: Object.entries(container.env).map(([name, value]) => `${name}=${value}`),
      cwd: container.cwd,
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: container.openFiles, soft: container.openFiles }],
    },
    root: { path: container.rootfs, readonly: false },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: PROC },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
      },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: PROC },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...PROC, 'ro'] },
      // Programs size themselves by what they see here.
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...PROC, 'ro'] },
      ...container.binds.map(({ source, destination, readOnly = false }) => ({
        destination,
        type: 'bind',
        source,
        options: ['rbind', 'rprivate', 'nosuid', 'nodev', readOnly ? 'ro' : 'rw'],
      })),
    ],
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'cgroup', 'user', 'network'].map(type => ({ type })),
      uidMappings: mapping,
      gidMappings: mapping,
      cgroupsPath: container.cgroupPath,
      resources: {
        devices: [{ allow: false, access: 'rwm' }, ...devices],
        memory: { limit: limits.memoryMb * MEGABYTE, swap: limits.memoryMb * MEGABYTE },
        cpu: { quota: Math.round(limits.cpus * CPU_PERIOD_US), period: CPU_PERIOD_US },
        pids: { limit: limits.pids },
      },
      // The network namespace is the sandbox's own.
      sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 65535' },
      seccomp: seccompProfile(),
      maskedPaths,
      readonlyPaths,
    },
  }
}

/** null, zero, full, random, urandom, tty, ptmx and the terminals. */
const devices = [
  [1, 3],
  [1, 5],
  [1, 7],
  [1, 8],
  [1, 9],
  [5, 0],
  [5, 2],
  [136, undefined],
].map(([major, minor]) => ({
  allow: true,
  type: 'c',
  major,
  access: 'rwm',
  ...(minor === undefined ? {} : { minor }),
}))
