import { execFile } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { ListeningPort } from '@coderunner/runtime'

/** TCP ports that these processes listen on, lowest first. */
export async function listeningPorts(pids: readonly number[]): Promise<ListeningPort[]> {
  const found = process.platform === 'linux' ? await fromProc(pids) : await fromLsof(pids)
  const ports = new Map<number, ListeningPort>()
  for (const one of found) if (one.bound === 'any' || !ports.has(one.port)) ports.set(one.port, one)
  return [...ports.values()].sort((a, b) => a.port - b.port)
}

async function fromProc(pids: readonly number[]): Promise<ListeningPort[]> {
  const sockets = new Set<string>()
  for (const pid of pids) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      sockets.add(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))
    }
  }
  const tables = await Promise.all(['tcp', 'tcp6'].map(name => readFile(`/proc/net/${name}`, 'latin1').catch(() => '')))
  return tables.flatMap(table =>
    table.split('\n').flatMap((line): ListeningPort[] => {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
      // 0A is LISTEN.
      if (state !== '0A' || !sockets.has(`socket:[${inode}]`)) return []
      const [address = '', port = ''] = local.split(':')
      return [{ port: Number.parseInt(port, 16), bound: /^0+$/.test(address) ? 'any' : 'loopback' }]
    }),
  )
}

async function fromLsof(pids: readonly number[]): Promise<ListeningPort[]> {
  if (pids.length === 0) return []
  const query = ['-nP', '-a', '-iTCP', '-sTCP:LISTEN', '-p', pids.join(','), '-Fn']
  // lsof exits with 1 when it finds nothing.
  const { stdout } = await promisify(execFile)('lsof', query).catch(() => ({ stdout: '' }))
  return stdout.split('\n').flatMap((line): ListeningPort[] => {
    const [, address, port] = /^n(.*):(\d+)$/.exec(line) ?? []
    return port === undefined ? [] : [{ port: Number(port), bound: address === '*' ? 'any' : 'loopback' }]
  })
}
