/**
 * The text of the instance's nftables table. The number of rules does not depend on the number of sandboxes: what is
 * particular to one is in sets. A sandbox reaches its group, the resolver, and the internet if it may; never the host, other
 * groups or private ranges.
 */
import { type EgressRule, withoutRedundant } from './egress-rule.ts'
import { formatNetwork, type Network } from './ipv4.ts'

export interface Attachment {
  interfaceName: string
  address: string
  /** Number of the group; equal numbers reach each other. */
  groupMark: number
  egress: 'internet' | 'none'
  /** Reached whatever else is refused. */
  allow: readonly EgressRule[]
}

export interface FirewallSettings {
  table: string
  /** Number that the host's ends of all the instance's links bear. */
  interfaceGroup: number
  gateway: string
  /** Of all sandboxes' addresses, in use or not. */
  subnet: Network
  /** Asked in place of the gateway's port 53; absent when the host has none. */
  resolver?: string
  exceptions: readonly EgressRule[]
}

/** RFC 6890 and relatives: not the internet. Cloud metadata is in 169.254.0.0/16. */
const privateRanges = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
]

/** Replaces the whole table, with these sandboxes in it, in one transaction. */
export function replaceTable(settings: FirewallSettings, attachments: readonly Attachment[]): string {
  const { table, interfaceGroup: group, gateway, resolver } = settings
  const dns = resolver === undefined ? '' : `ct status dnat ip daddr ${resolver} meta l4proto { tcp, udp } th dport 53`
  return `
table inet ${table}
delete table inet ${table}
table inet ${table} {
  set addr { type ifname . ipv4_addr; }
  map project { type ipv4_addr : mark; }
  set member { type ipv4_addr . mark; }
  map egress { type ipv4_addr : verdict; }
  set resolving { type ipv4_addr; }
  set online { type ipv4_addr; }
  set allow { type ipv4_addr . ipv4_addr; flags interval; }
  set allow_port { type ipv4_addr . ipv4_addr . inet_service; flags interval; }
  set private { type ipv4_addr; flags interval; elements = { ${privateRanges.join(', ')} }; }

  chain deny {
    counter
    # A reset, as ICMP alone is rate-limited by the kernel and costs the application a second.
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
  chain spoof {
    meta nfproto ipv6 counter drop
    iifname . ip saddr != @addr counter drop
  }
  chain prerouting { type filter hook prerouting priority raw; policy accept; iifgroup ${group} jump spoof; }

  chain from_gateway_port {
    ${resolver === undefined ? '' : `ip saddr @resolving ip daddr ${gateway} meta l4proto { tcp, udp } th dport 53 dnat ip to ${resolver}`}
  }
  chain rewrite_dns { type nat hook prerouting priority dstnat; policy accept; iifgroup ${group} jump from_gateway_port; }

  chain to_host {
    ct state established,related accept
    ${dns === '' ? '' : `${dns} accept`}
    ip daddr ${gateway} icmp type echo-request accept
${settings.exceptions.filter(isOneService).map(acceptOnHost).join('\n')}
    goto deny
  }
  # An address without a sandbox, as after its end, must not be looked for in the networks the host itself is in.
  chain output {
    type filter hook output priority filter; policy accept;
    ip daddr ${formatNetwork(settings.subnet)} oifname != "lo" oifgroup != ${group} goto deny
  }
  chain input { type filter hook input priority filter; policy accept; iifgroup ${group} goto to_host; }

  chain peers {
    meta mark set ip saddr map @project
    ip daddr . meta mark @member accept
    goto deny
  }
  chain listed {
    ip saddr . ip daddr @allow meta l4proto { tcp, udp } accept
    ip saddr . ip daddr . th dport @allow_port meta l4proto { tcp, udp } accept
  }
  chain internet {
    jump listed
${withoutRedundant(settings.exceptions).map(acceptException).join('\n')}
    ip daddr @private goto deny
    accept
  }
  chain only_listed { jump listed; goto deny; }
  chain from_sandbox {
    ct state established,related accept
    oifgroup ${group} goto peers
    ${dns === '' ? '' : `${dns} accept`}
    ip saddr vmap @egress
    goto deny
  }
  chain to_sandbox { ct state established,related accept; counter drop; }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifgroup ${group} goto from_sandbox
    oifgroup ${group} goto to_sandbox
  }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; iifgroup ${group} oifgroup != ${group} masquerade; }
}
${attachments.map(attachment => changeElements('add', table, attachment)).join('')}`
}

const acceptException = ({ network, port }: EgressRule): string =>
  `    ip daddr ${formatNetwork(network)} meta l4proto { tcp, udp }${port === undefined ? '' : ` th dport ${port}`} accept`

/** A whole network may hold the host's own addresses, and an address all of its services: those are never meant. */
const isOneService = ({ network, port }: EgressRule): boolean => network.prefix === 32 && port !== undefined

const acceptOnHost = ({ network, port }: EgressRule): string =>
  `    ip saddr @online ip daddr ${formatNetwork(network)} meta l4proto { tcp, udp } th dport ${port} accept`

export const deleteTable = (table: string): string => `table inet ${table}\ndelete table inet ${table}\n`

/** What the sets hold for one sandbox, added or deleted. */
export function changeElements(verb: 'add' | 'delete', table: string, attachment: Attachment): string {
  const { interfaceName, address, groupMark, egress } = attachment
  const allow = withoutRedundant(attachment.allow)
  const elements: [set: string, element: string][] = [
    ['addr', `"${interfaceName}" . ${address}`],
    ['project', `${address} : ${groupMark}`],
    ['member', `${address} . ${groupMark}`],
  ]
  if (egress === 'internet' || allow.length > 0) {
    elements.push(['egress', `${address} : goto ${egress === 'internet' ? 'internet' : 'only_listed'}`])
    elements.push(['resolving', address])
    if (egress === 'internet') elements.push(['online', address])
  }
  for (const rule of allow) {
    const destination = formatNetwork(rule.network)
    elements.push(
      rule.port === undefined
        ? ['allow', `${address} . ${destination}`]
        : ['allow_port', `${address} . ${destination} . ${rule.port}`],
    )
  }
  return elements.map(([set, element]) => `${verb} element inet ${table} ${set} { ${element} }\n`).join('')
}
