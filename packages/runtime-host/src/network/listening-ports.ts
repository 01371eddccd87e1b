import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { ListeningPort } from '@coderunner/runtime'
import { KernelError } from '../kernel/libc.ts'
import { inNetworkNamespace } from '../kernel/namespaces.ts'
import { NetlinkSocket } from './netlink-socket.ts'
import { applyRules } from './nft.ts'

const AF_INET = 2
const AF_INET6 = 10
const IPPROTO_TCP = 6
const SOCK_DIAG_BY_FAMILY = 20
const STATE_LISTEN = 10
const REQUEST_SIZE = 56
const TABLE = 'coderunner'

interface Listener {
  port: number
  /** Four bytes, or sixteen. */
  address: Buffer
}

/**
 * TCP ports that anything in the network namespace of a process listens on, lowest first. One bound both ways counts as
 * bound to any address. Nothing of the tenant's is read: the kernel tells.
 */
export async function listeningPorts(pid: number): Promise<ListeningPort[]> {
  const found = new Map<number, ListeningPort['bound']>()
  for (const { port, address } of await listeners(pid)) {
    if (found.get(port) !== 'any') found.set(port, isLoopback(address) ? 'loopback' : 'any')
  }
  return [...found].sort(([a], [b]) => a - b).map(([port, bound]) => ({ port, bound }))
}

function isLoopback(address: Buffer): boolean {
  if (address.length === 4) return address[0] === 127
  const hex = address.toString('hex')
  return hex === `${'0'.repeat(31)}1` || hex.startsWith(`${'0'.repeat(20)}ffff7f`)
}

async function listeners(pid: number): Promise<Listener[]> {
  try {
    using netlink = NetlinkSocket.open('socketDiagnosis', { pid })
    return [...(await dumpListeners(netlink, AF_INET)), ...(await dumpListeners(netlink, AF_INET6))]
  } catch (error) {
    // A kernel built without inet_diag. Its text tables say the same, but take 40 times as long.
    if (error instanceof KernelError && ['ENOENT', 'EPROTONOSUPPORT', 'EOPNOTSUPP'].includes(error.code)) {
      return readListeners(pid)
    }
    throw error
  }
}

async function dumpListeners(netlink: NetlinkSocket, family: number): Promise<Listener[]> {
  const request = Buffer.alloc(REQUEST_SIZE)
  request.set([family, IPPROTO_TCP])
  request.writeUInt32LE(1 << STATE_LISTEN, 4)
  const answers = await netlink.dump('list listening sockets', SOCK_DIAG_BY_FAMILY, [request])
  return answers.map(({ body }) => ({
    port: body.readUInt16BE(4),
    address: body.subarray(8, body[0] === AF_INET ? 12 : 24),
  }))
}

/** The same from `/proc/<pid>/net/tcp` and `tcp6`, where addresses are words of host order in hexadecimal. */
export async function readListeners(pid: number): Promise<Listener[]> {
  const read = async (name: string): Promise<string> => readFile(`/proc/${pid}/net/${name}`, 'utf8')
  const texts = [await read('tcp'), await read('tcp6').catch(() => '')]
  return texts
    .flatMap(text => text.split('\n').slice(1))
    .flatMap(line => {
      const [, local = '', , state] = line.trim().split(/\s+/)
      const [words = '', port = ''] = local.split(':')
      if (state === undefined || Number.parseInt(state, 16) !== STATE_LISTEN) return []
      return [{ port: Number.parseInt(port, 16), address: Buffer.from(words, 'hex').swap32() }]
    })
}

/**
 * Makes ports that a sandbox's application bound to 127.0.0.1 answer on the sandbox's address, for the host alone: its
 * peers keep out of debuggers and the like. Replaces what was exposed before. An application bound to `::1` only cannot
 * be reached this way.
 */
export async function exposeLoopback(pid: number, gateway: string, ports: readonly number[]): Promise<void> {
  if (!ports.every(port => Number.isInteger(port) && port > 0 && port < 65536)) throw new RangeError('no such port')
  inNetworkNamespace(pid, () => writeFileSync('/proc/sys/net/ipv4/conf/eth0/route_localnet', '1'))
  const redirected = `tcp dport { ${[...new Set(ports)].join(', ')} }`
  const rule = ports.length === 0 ? '' : `iifname eth0 ip saddr ${gateway} ${redirected} dnat to 127.0.0.1;`
  const rules = `
table ip ${TABLE}
flush table ip ${TABLE}
table ip ${TABLE} {
  chain prerouting { type nat hook prerouting priority dstnat; policy accept; ${rule} }
}
`
  await applyRules(rules, { pid })
}
