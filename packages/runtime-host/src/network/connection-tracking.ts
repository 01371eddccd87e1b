/** Connections the kernel knows. The firewall lets their packets through unasked, so they must not outlive the right to them. */
import { KernelError } from '../kernel/libc.ts'
import { address, attribute, nested, u32 } from './netlink-message.ts'
import { NetlinkSocket } from './netlink-socket.ts'

const AF_INET = 2
const CT_DELETE = (1 << 8) | 2
const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_IP = 1
const CTA_FILTER = 25
const CTA_FILTER_ORIG_FLAGS = 1
const CTA_FILTER_REPLY_FLAGS = 2
/** Attribute of the address, and the flag that says only it counts. */
const directions = [
  { attributeType: 1, flag: 1 << 0 },
  { attributeType: 2, flag: 1 << 1 },
] as const

/**
 * Forgets every connection from and to an address: what goes on in one is then asked about like a new one. Needs Linux
 * 5.8; an older kernel refuses, and then connections live until they end.
 */
export async function forgetConnections(of: string): Promise<void> {
  using netlink = NetlinkSocket.open('netfilter')
  for (const { attributeType, flag } of directions) {
    const tuple = nested(CTA_TUPLE_ORIG, nested(CTA_TUPLE_IP, attribute(attributeType, address(of))))
    const filter = nested(
      CTA_FILTER,
      attribute(CTA_FILTER_ORIG_FLAGS, u32(flag)),
      attribute(CTA_FILTER_REPLY_FLAGS, u32(0)),
    )
    const body = [Buffer.from([AF_INET, 0, 0, 0]), tuple, filter]
    try {
      await netlink.request(`forget connections of ${of}`, CT_DELETE, 0, body)
    } catch (error) {
      if (!(error instanceof KernelError && ['ENOENT', 'EOPNOTSUPP', 'EINVAL'].includes(error.code))) throw error
    }
  }
}
