/** Other firewalls of this machine (Docker's, ufw's) that drop what sandboxes forward, whatever our own table accepts. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { findProgram, systemEnvironment } from '../kernel/system-programs.ts'

const run = promisify(execFile)
const options = { env: systemEnvironment, maxBuffer: 16 * 1024 * 1024 }

/** A chain that drops forwarded packets by default, and the command that lets sandboxes' packets through. */
export interface ForwardDrop {
  where: string
  fix: string
}

interface Listing {
  nftables: { chain?: { family: string; table: string; name: string; hook?: string; policy?: string } }[]
}

/** The host's ends of sandboxes' links begin so. What they may do is still our own table's affair. */
const OUR_LINKS = 'cr'

/** Reads the chains as nftables sees them, which include those of iptables-nft. */
export function dropsInNftables(listing: string): ForwardDrop[] {
  const { nftables } = JSON.parse(listing) as Listing
  return nftables.flatMap(({ chain }) => {
    if (chain?.hook !== 'forward' || chain.policy !== 'drop' || !['ip', 'inet'].includes(chain.family)) return []
    const where = `${chain.family} ${chain.table} ${chain.name}`
    const insert = (direction: string): string => `nft insert rule ${where} ${direction} '"${OUR_LINKS}*"' accept`
    return [{ where, fix: `${insert('iifname')} && ${insert('oifname')}` }]
  })
}

/** Reads `iptables-legacy -S FORWARD`, whose rules nftables does not see. */
export function dropsInLegacyTables(rules: string): ForwardDrop[] {
  if (!rules.split('\n').includes('-P FORWARD DROP')) return []
  const insert = (option: string): string => `iptables-legacy -I FORWARD ${option} ${OUR_LINKS}+ -j ACCEPT`
  return [{ where: 'iptables-legacy FORWARD', fix: `${insert('-i')} && ${insert('-o')}` }]
}

/** Those that do not let our links through yet. */
export async function findForwardDrops(): Promise<ForwardDrop[]> {
  const chains = await run('nft', ['-j', 'list', 'chains'], options)
  const found: ForwardDrop[] = []
  for (const drop of dropsInNftables(chains.stdout)) {
    const { stdout } = await run('nft', ['list', 'chain', ...drop.where.split(' ')], options)
    if (!stdout.includes(`iifname "${OUR_LINKS}*"`)) found.push(drop)
  }
  const legacy = await findProgram('iptables-legacy')
  if (legacy !== undefined) {
    const { stdout } = await run(legacy, ['-S', 'FORWARD'], options).catch(() => ({ stdout: '' }))
    if (!stdout.includes(`-i ${OUR_LINKS}+`)) found.push(...dropsInLegacyTables(stdout))
  }
  return found
}
