import { lookup } from 'node:dns/promises'

const KEPT_MS = 60_000

/** The addresses of these hosts as `CIDR`s, asked for again after a minute. A name that is not found has none. */
export function registryAddresses(hosts: readonly string[]): () => Promise<readonly string[]> {
  let known: { at: number; addresses: Promise<string[]> } | undefined
  return () => {
    if (hosts.length === 0) return Promise.resolve([])
    if (known === undefined || Date.now() - known.at > KEPT_MS) known = { at: Date.now(), addresses: resolve(hosts) }
    return known.addresses
  }
}

async function resolve(hosts: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    hosts.map(host =>
      lookup(host, { all: true, family: 4 }).catch(() => {
        return [] // no such name now: the install says so in its own words
      }),
    ),
  )
  return [...new Set(found.flat().map(({ address }) => `${address}/32`))]
}
