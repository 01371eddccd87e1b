/**
 * The instance's network: no bridge, but a routed link for each sandbox (its end is `eth0` with one address; the host is
 * its gateway) and one nftables table that says who reaches whom. Everything on the host bears the instance's name: the
 * table, the links `<instance>s<slot>` and the label `lo:<instance>` of the gateway's address.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { inNetworkNamespace } from '../kernel/namespaces.ts'
import { forgetConnections } from './connection-tracking.ts'
import { parseEgressRule } from './egress-rule.ts'
import { type Attachment, changeElements, deleteTable, type FirewallSettings, replaceTable } from './firewall.ts'
import { hostMtu, hostNetworks, hostResolver } from './host-routes.ts'
import { formatAddress, formatNetwork, isLoopback, type Network, overlaps, parseAddress, parseNetwork } from './ipv4.ts'
import { applyRules, listTables } from './nft.ts'
import { RouteSocket } from './route-socket.ts'
import { addressInSlot, chooseSubnet, gatewayOf } from './subnet.ts'

export interface SandboxNetworkOptions {
  /** Name of the instance, at most 10 characters of `[a-z0-9]`. */
  instance: string
  stateDir: string
  /** `CIDR[:port]`: reached by sandboxes with internet access although it is private. */
  egressAllow: readonly string[]
  /** IPv4 address of the name server; the host's first one by default. */
  resolver?: string
}

export interface SandboxLink {
  /** Number of the sandbox in this instance; its address and its link's name come from it. */
  slot: number
  /** Process in the sandbox's network namespace. */
  pid: number
  /** Sandboxes of one group reach each other. */
  group: string
  egress: 'internet' | 'none'
  /** `CIDR[:port]` that this sandbox reaches in any case. */
  allow?: readonly string[]
}

/** Sandboxes' end of the link. */
export const INSIDE_INTERFACE = 'eth0'
const FORWARDING = '/proc/sys/net/ipv4/ip_forward'

export class SandboxNetwork {
  readonly gateway: string
  /** What was changed on the machine, for people to know. */
  readonly notes: readonly string[]
  readonly #instance: string
  readonly #stateDir: string
  readonly #subnet: Network
  readonly #mtu: number
  readonly #firewall: FirewallSettings
  readonly #groupMarks = new Map<string, number>()
  readonly #attached = new Map<number, { group: string; attachment: Attachment }>()
  /** False while the table of an earlier run is in force. */
  #current: boolean
  #queue: { statements: string; done: PromiseWithResolvers<void> }[] = []
  #writing = false

  private constructor(parts: {
    instance: string
    stateDir: string
    subnet: Network
    firewall: FirewallSettings
    mtu: number
    notes: string[]
    current: boolean
  }) {
    this.gateway = parts.firewall.gateway
    this.notes = parts.notes
    this.#instance = parts.instance
    this.#stateDir = parts.stateDir
    this.#subnet = parts.subnet
    this.#mtu = parts.mtu
    this.#firewall = parts.firewall
    this.#current = parts.current
  }

  /**
   * Makes the gateway and the table. The table of an earlier run stays in force, so that its sandboxes are not cut off,
   * until `adopt` says which of them still count.
   */
  static async start(options: SandboxNetworkOptions): Promise<SandboxNetwork> {
    const { instance, stateDir } = options
    if (!/^[a-z][a-z0-9]{0,9}$/.test(instance)) throw new Error(`"${instance}" cannot name network interfaces.`)
    const exceptions = options.egressAllow.map(parseEgressRule)
    if (options.resolver !== undefined && parseAddress(options.resolver) === undefined) {
      throw new Error(`The resolver "${options.resolver}" is not an IPv4 address.`)
    }
    const resolver = options.resolver ?? (await hostResolver())
    const subnet = await settleSubnet(instance, stateDir)
    const gateway = formatAddress(gatewayOf(subnet))
    const notes: string[] = []
    if (resolver === undefined) notes.push('No IPv4 name server in /etc/resolv.conf: sandboxes cannot resolve names.')
    if (readFileSync(FORWARDING, 'utf8').trim() !== '1') {
      writeFileSync(FORWARDING, '1')
      notes.push('net.ipv4.ip_forward was off and is on now: sandboxes reach the internet through this machine.')
    }
    const firewall: FirewallSettings = {
      table: instance,
      interfaceGroup: interfaceGroupOf(instance),
      gateway,
      subnet,
      ...(resolver === undefined ? {} : { resolver }),
      exceptions,
    }
    const exists = (await listTables()).some(({ family, name }) => family === 'inet' && name === instance)
    if (!exists) await applyRules(replaceTable(firewall, []))
    using routes = RouteSocket.open()
    await routes.addAddress('lo', gateway, { label: gatewayLabel(instance) })
    return new SandboxNetwork({ instance, stateDir, subnet, firewall, mtu: hostMtu(), notes, current: !exists })
  }

  addressOf(slot: number): string {
    return formatAddress(addressInSlot(this.#subnet, slot))
  }

  /**
   * Gives the sandbox its `eth0`, address and rights. Repeating it is fine, also with other rights. When it throws,
   * nothing of it is left.
   */
  async attach(link: SandboxLink): Promise<void> {
    await this.admit(link)
    try {
      await this.#connect(link)
    } catch (error) {
      await this.detach(link.slot)
      throw error
    }
  }

  /**
   * The first half of `attach`, for which the sandbox need not be there yet: its rights. A link the table does not know is
   * dropped by the check of its source address, so they always come first. When it throws, nothing of it is left.
   */
  async admit(link: Omit<SandboxLink, 'pid'>): Promise<void> {
    if (!this.#current) throw new Error('adopt() must say which sandboxes exist before another is attached.')
    const attachment = this.#describe(link)
    const before = this.#attached.get(link.slot)
    if (isDeepStrictEqual(before?.attachment, attachment)) return
    this.#attached.set(link.slot, { group: link.group, attachment })
    try {
      const removal = before === undefined ? '' : changeElements('delete', this.#instance, before.attachment)
      await this.#change(removal + changeElements('add', this.#instance, attachment))
      if (before !== undefined) await forgetConnections(attachment.address)
    } catch (error) {
      await this.detach(link.slot)
      throw error
    }
  }

  /** Nothing there is no error. */
  async detach(slot: number): Promise<void> {
    const before = this.#attached.get(slot)
    this.#attached.delete(slot)
    using routes = RouteSocket.open()
    await Promise.all([
      before === undefined ? undefined : this.#change(changeElements('delete', this.#instance, before.attachment)),
      routes.deleteLink(this.#interfaceName(slot)),
    ])
    // The next sandbox with this address must not go on where this one was.
    await forgetConnections(this.addressOf(slot))
  }

  /** Says which sandboxes exist: the table is rewritten for them, and links of others are removed. */
  async adopt(links: readonly SandboxLink[]): Promise<void> {
    this.#attached.clear()
    this.#groupMarks.clear()
    for (const link of links) this.#attached.set(link.slot, { group: link.group, attachment: this.#describe(link) })
    this.#current = true
    await applyRules(this.#wholeTable())
    const wanted = new Set(links.map(link => this.#interfaceName(link.slot)))
    await deleteLinks(linksOf(this.#instance).filter(name => !wanted.has(name)))
  }

  /** Takes everything of this instance off the machine, whatever its sandboxes do. IP forwarding stays as it is. */
  async remove(): Promise<void> {
    this.#attached.clear()
    await removeNetwork(this.#instance)
    await rm(stateFile(this.#stateDir), { force: true })
    this.#current = false
  }

  #interfaceName(slot: number): string {
    return `${this.#instance}s${slot}`
  }

  #describe(link: Omit<SandboxLink, 'pid'>): Attachment {
    return {
      interfaceName: this.#interfaceName(link.slot),
      address: this.addressOf(link.slot),
      groupMark: this.#markOf(link.group),
      egress: link.egress,
      allow: (link.allow ?? []).map(parseEgressRule),
    }
  }

  /** Numbers are given out, not hashed: two groups must never share one. */
  #markOf(group: string): number {
    let mark = this.#groupMarks.get(group)
    if (mark === undefined) {
      const inUse = new Set([...this.#attached.values()].map(entry => entry.group))
      for (const known of this.#groupMarks.keys()) if (!inUse.has(known)) this.#groupMarks.delete(known)
      const marks = new Set(this.#groupMarks.values())
      mark = 1
      while (marks.has(mark)) mark++
      this.#groupMarks.set(group, mark)
    }
    return mark
  }

  async #connect({ slot, pid }: SandboxLink): Promise<void> {
    const [interfaceName, address] = [this.#interfaceName(slot), this.addressOf(slot)]
    using outside = RouteSocket.open()
    using inside = RouteSocket.open({ pid })
    const pair = {
      name: interfaceName,
      group: this.#firewall.interfaceGroup,
      mtu: this.#mtu,
      peer: { name: INSIDE_INTERFACE, pid },
    }
    if (outside.interfaceIndex(interfaceName) !== undefined) {
      if (isOtherEnd(inside.interfaceIndex(INSIDE_INTERFACE), interfaceName)) return
      await outside.deleteLink(interfaceName)
    }
    // Before the link, so that it never has an IPv6 address of its own.
    inNetworkNamespace(pid, () => disableIpv6('all', 'default'))
    await outside.addVethPair(pair)
    disableIpv6(interfaceName)
    if (this.#firewall.resolver !== undefined && isLoopback(this.#firewall.resolver)) {
      writeFileSync(`/proc/sys/net/ipv4/conf/${interfaceName}/route_localnet`, '1')
    }
    await outside.addRoute({ to: address, interfaceName, source: this.gateway })
    await inside.setUp('lo')
    await inside.setUp(INSIDE_INTERFACE)
    await inside.addAddress(INSIDE_INTERFACE, address)
    await inside.addRoute({ to: this.gateway, interfaceName: INSIDE_INTERFACE })
    await inside.addRoute({ via: this.gateway, interfaceName: INSIDE_INTERFACE })
    if (!this.#attached.has(slot)) await outside.deleteLink(interfaceName)
  }

  #wholeTable(): string {
    return replaceTable(
      this.#firewall,
      [...this.#attached.values()].map(entry => entry.attachment),
    )
  }

  /** Changes that come while others are being written go together in the next transaction. */
  async #change(statements: string): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.#queue.push({ statements, done })
    if (!this.#writing) void this.#write()
    await done.promise
  }

  async #write(): Promise<void> {
    this.#writing = true
    while (this.#queue.length > 0) {
      const changes = this.#queue
      this.#queue = []
      try {
        await applyRules(changes.map(change => change.statements).join(''))
          // Somebody has changed the table: what we know is right, and it is written whole.
          .catch(async () => applyRules(this.#wholeTable()))
        for (const change of changes) change.done.resolve()
      } catch (error) {
        for (const change of changes) change.done.reject(error)
      }
    }
    this.#writing = false
  }
}

/** Removes what an instance of this name has on the machine, whether or not it runs: for cleaning up after a crash. */
export async function removeNetwork(instance: string): Promise<void> {
  await applyRules(deleteTable(instance))
  using routes = RouteSocket.open()
  await routes.deleteGroup(interfaceGroupOf(instance))
  await deleteLinks(linksOf(instance))
  for (const address of await routes.labelledAddresses(gatewayLabel(instance))) {
    await routes.deleteAddress('lo', address)
  }
}

const gatewayLabel = (instance: string): string => `lo:${instance}`

/** `C` and 24 bits of the name's hash: no other instance's, and nobody else's. */
const interfaceGroupOf = (instance: string): number =>
  0x43000000 + createHash('sha256').update(instance).digest().readUIntBE(2, 3)

const linksOf = (instance: string): string[] => {
  const name = new RegExp(`^${instance}s\\d+$`)
  return readdirSync('/sys/class/net').filter(link => name.test(link))
}

async function deleteLinks(names: readonly string[]): Promise<void> {
  using routes = RouteSocket.open()
  for (const name of names) await routes.deleteLink(name)
}

function disableIpv6(...interfaces: readonly string[]): void {
  for (const name of interfaces) {
    try {
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1')
    } catch (error) {
      // A kernel without IPv6 has nothing to disable.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    }
  }
}

/** Whether the interface with this index in the sandbox is the other end of the host's link. */
function isOtherEnd(insideIndex: number | undefined, interfaceName: string): boolean {
  try {
    return Number(readFileSync(`/sys/class/net/${interfaceName}/iflink`, 'utf8')) === insideIndex
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

const stateFile = (stateDir: string): string => join(stateDir, 'network.json')

/** The subnet of the last time, or another when somebody else has taken that one and no sandbox is using it. */
async function settleSubnet(instance: string, stateDir: string): Promise<Network> {
  const own = { interfaces: linksOf(instance), label: gatewayLabel(instance) }
  const taken = await hostNetworks(own)
  const text = await readFile(stateFile(stateDir), 'utf8').catch(() => '{}')
  const { subnet } = JSON.parse(text) as { subnet?: string }
  const known = subnet === undefined ? undefined : parseNetwork(subnet)
  if (known !== undefined) {
    const free = !taken.some(network => network.prefix > 11 && overlaps(network, known))
    if (free || own.interfaces.length > 0) return known
  }
  const chosen = chooseSubnet(instance, taken)
  await mkdir(stateDir, { recursive: true })
  await writeFile(`${stateFile(stateDir)}.tmp`, JSON.stringify({ subnet: formatNetwork(chosen) }))
  await rename(`${stateFile(stateDir)}.tmp`, stateFile(stateDir))
  return chosen
}
