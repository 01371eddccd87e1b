import { contains, formatNetwork, type Network, parseNetwork } from './ipv4.ts'

/** A destination that sandboxes may reach although it lies in a private range. */
export interface EgressRule {
  network: Network
  /** TCP and UDP; every port when absent. */
  port?: number
}

/**
 * Reads `CIDR[:port]`, such as `10.1.0.0/16` or `192.168.1.9:5432`.
 * @throws Error that names what was written
 */
export function parseEgressRule(text: string): EgressRule {
  const [networkText = '', portText, ...rest] = text.trim().split(':')
  const network = parseNetwork(networkText)
  const port = portText === undefined ? undefined : Number(portText)
  const portIsValid = port === undefined || (/^\d+$/.test(portText ?? '') && port >= 1 && port <= 65535)
  if (network === undefined || !portIsValid || rest.length > 0) {
    throw new Error(`"${text}" is not an IPv4 address or network with an optional port, such as 10.1.0.0/16:443.`)
  }
  return port === undefined ? { network } : { network, port }
}

/** Without those that another one allows already: nftables refuses overlapping elements. */
export function withoutRedundant(rules: readonly EgressRule[]): EgressRule[] {
  const unique = [...new Map(rules.map(rule => [formatEgressRule(rule), rule])).values()]
  return unique.filter(
    rule => !unique.some(other => other !== rule && covers(other, rule) && contains(other.network, rule.network)),
  )
}

const covers = (other: EgressRule, rule: EgressRule): boolean => other.port === undefined || other.port === rule.port

export const formatEgressRule = ({ network, port }: EgressRule): string =>
  port === undefined ? formatNetwork(network) : `${formatNetwork(network)}:${port}`
