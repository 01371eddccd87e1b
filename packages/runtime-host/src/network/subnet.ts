import { createHash } from 'node:crypto'
import { contains, formatNetwork, type Network, overlaps, sizeOf } from './ipv4.ts'

/** 10.224.0.0/11: far from what home routers, Docker (172.16/12) and clouds (10.0/16) take first. */
const pool: Network = { address: 0x0ae00000, prefix: 11 }
const SUBNET_PREFIX = 20

/**
 * The addresses of an instance's sandboxes. Starts at a place made from the name, so that it is usually the same again,
 * and goes on to the first that touches no network the host knows. A route to the whole pool or more (a VPN's 10.0.0.0/8)
 * is not in the way: a sandbox's own route is narrower and wins.
 */
export function chooseSubnet(instance: string, taken: readonly Network[]): Network {
  const count = 2 ** (SUBNET_PREFIX - pool.prefix)
  const first = createHash('sha256').update(instance).digest().readUInt16BE(0) % count
  const inTheWay = taken.filter(network => !contains(network, pool))
  for (let step = 0; step < count; step++) {
    const address = pool.address + ((first + step) % count) * sizeOf(SUBNET_PREFIX)
    const subnet = { address, prefix: SUBNET_PREFIX }
    if (!inTheWay.some(network => overlaps(network, subnet))) return subnet
  }
  throw new Error(`Every part of ${formatNetwork(pool)} is in use on this machine: see \`ip route show table all\`.`)
}

/** Number of sandboxes that have an address at the same time: all but the network's own and the gateway's. */
export const SLOT_COUNT = sizeOf(SUBNET_PREFIX) - 2

export const gatewayOf = (subnet: Network): number => subnet.address + 1

export const addressInSlot = (subnet: Network, slot: number): number => {
  if (!Number.isInteger(slot) || slot < 0 || slot >= SLOT_COUNT) throw new RangeError(`no network slot ${slot}`)
  return subnet.address + 2 + slot
}
