import { readFile } from 'node:fs/promises'

export interface CgroupMode {
  mode: 'v2' | 'hybrid' | 'v1' | 'none'
  controllers: ReadonlySet<string>
}

/** How control groups are mounted at `/sys/fs/cgroup`, and which controllers can be used there. */
export async function cgroupMode(): Promise<CgroupMode> {
  return readCgroupMode(
    await readFile('/proc/self/mountinfo', 'utf8'),
    await readFile('/sys/fs/cgroup/cgroup.controllers', 'utf8').catch(() => ''),
  )
}

export function readCgroupMode(mountinfo: string, unifiedControllers: string): CgroupMode {
  const mounts = mountinfo.split('\n').flatMap(line => {
    const [before = '', after = ''] = line.split(' - ')
    const target = before.split(' ')[4] ?? ''
    const [type = '', , options = ''] = after.split(' ')
    return type.startsWith('cgroup') ? [{ target, type, options: options.split(',') }] : []
  })
  if (mounts.some(({ type, target }) => type === 'cgroup2' && target === '/sys/fs/cgroup')) {
    return { mode: 'v2', controllers: new Set(unifiedControllers.trim().split(' ')) }
  }
  const legacy = mounts.filter(({ type }) => type === 'cgroup')
  if (legacy.length === 0) return { mode: 'none', controllers: new Set() }
  const unified = mounts.some(({ type }) => type === 'cgroup2')
  return { mode: unified ? 'hybrid' : 'v1', controllers: new Set(legacy.flatMap(({ options }) => options)) }
}
