/** IPv4 addresses and networks as numbers. */

export interface Network {
  address: number
  prefix: number
}

export function parseAddress(text: string): number | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every(part => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined
  return parts.reduce((number, part) => number * 256 + Number(part), 0)
}

export const formatAddress = (address: number): string =>
  [24, 16, 8, 0].map(shift => Math.floor(address / 2 ** shift) % 256).join('.')

/** `a.b.c.d` or `a.b.c.d/n`; bits past the prefix are cleared. */
export function parseNetwork(text: string): Network | undefined {
  const [addressText = '', prefixText = '32', ...rest] = text.split('/')
  const address = parseAddress(addressText)
  const prefix = /^\d{1,2}$/.test(prefixText) ? Number(prefixText) : 33
  if (address === undefined || prefix > 32 || rest.length > 0) return undefined
  return { address: address - (address % sizeOf(prefix)), prefix }
}

export const formatNetwork = ({ address, prefix }: Network): string => `${formatAddress(address)}/${prefix}`

export const sizeOf = (prefix: number): number => 2 ** (32 - prefix)

export const contains = (outer: Network, inner: Network): boolean =>
  outer.prefix <= inner.prefix && inner.address - (inner.address % sizeOf(outer.prefix)) === outer.address

export const overlaps = (a: Network, b: Network): boolean => contains(a, b) || contains(b, a)

export const isLoopback = (address: string): boolean => address.startsWith('127.')
