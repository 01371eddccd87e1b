import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { inNetworkNamespace } from '../kernel/namespaces.ts'
import { systemEnvironment } from '../kernel/system-programs.ts'

/** The firewall refused a change, and nothing of it was made. */
export class FirewallError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'FirewallError'
  }
}

/** Applies statements in one transaction, here or in the network namespace of a process. */
export async function applyRules(statements: string, options: { pid?: number } = {}): Promise<void> {
  await run(['-f', '-'], statements, options)
}

/** Names of the tables of one family. */
export async function listTables(): Promise<{ family: string; name: string }[]> {
  const output = await run(['-j', 'list', 'tables'], '', {})
  const { nftables } = JSON.parse(output) as { nftables: { table?: { family: string; name: string } }[] }
  return nftables.flatMap(({ table }) => (table === undefined ? [] : [table]))
}

async function run(args: readonly string[], input: string, { pid }: { pid?: number }): Promise<string> {
  const start = (): ChildProcessByStdio<Writable, Readable, Readable> =>
    spawn('nft', args, { stdio: ['pipe', 'pipe', 'pipe'], env: systemEnvironment })
  // The child is born in the namespace its parent's thread is in: no nsenter is needed.
  const child = pid === undefined ? start() : inNetworkNamespace(pid, start)
  let output = ''
  let complaint = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (complaint.length < 2000) complaint += text
  })
  child.stdin.on('error', () => {}) // it ended early; its exit code tells
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new FirewallError(`nft failed (${code}): ${complaint.slice(0, 2000).trim()}`)
  return output
}
