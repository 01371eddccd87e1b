/** What the host's own network looks like. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { systemEnvironment } from '../kernel/system-programs.ts'
import { type Network, parseAddress, parseNetwork } from './ipv4.ts'

const run = promisify(execFile)
const options = { env: systemEnvironment, maxBuffer: 16 * 1024 * 1024 }

interface Route {
  dst: string
  dev?: string
}
interface Interface {
  addr_info: { local?: string; label?: string }[]
}

/** Every network or single address that the host has a route to or an address in, but for the default route. */
export async function hostNetworks(except: { interfaces: readonly string[]; label: string }): Promise<Network[]> {
  const [routes, addresses] = await Promise.all([
    run('ip', ['-j', '-4', 'route', 'show', 'table', 'all'], options),
    run('ip', ['-j', '-4', 'address', 'show', 'label', except.label], options),
  ])
  const own = (JSON.parse(addresses.stdout || '[]') as Interface[]).flatMap(entry =>
    (entry.addr_info ?? []).flatMap(({ local, label }) => (label === except.label && local ? [local] : [])),
  )
  return (JSON.parse(routes.stdout || '[]') as Route[]).flatMap(({ dst, dev }) => {
    if (dst === 'default' || own.includes(dst) || except.interfaces.includes(dev ?? '')) return []
    return parseNetwork(dst) ?? []
  })
}

/** The first IPv4 name server of the host. */
export async function hostResolver(): Promise<string | undefined> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '')
  return text
    .split('\n')
    .map(line => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .find(server => server !== undefined && parseAddress(server) !== undefined)
}

/** Largest packet of the interface towards the internet: sandboxes' links take the same, so that nothing is cut. */
export function hostMtu(): number {
  const [, ...lines] = readFileSync('/proc/net/route', 'utf8').split('\n')
  const uplink = lines.map(line => line.split('\t')).find(([, destination]) => destination === '00000000')?.[0]
  if (uplink === undefined) return 1500
  return Math.min(1500, Number(readFileSync(`/sys/class/net/${uplink}/mtu`, 'utf8')))
}
