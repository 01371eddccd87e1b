import assert from 'node:assert/strict'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { CodeRunner } from '../coderunner.ts'
import { children } from '../processes.ts'

/** Inodes of the sockets of a process, as `/proc/net` names them. */
async function socketInodes(pid: number): Promise<Set<string>> {
  const links = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map(fd => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  )
  return new Set(links.flatMap(link => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []))
}

/** Local ports a process listens on. */
async function listening(pid: number): Promise<number[]> {
  const own = await socketInodes(pid)
  const ports: number[] = []
  for (const table of ['tcp', 'tcp6', 'udp', 'udp6'])
    for (const line of (await readFile(`/proc/net/${table}`, 'utf8')).split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
      const isOpen = state === '0A' || table.startsWith('udp')
      if (own.has(inode) && isOpen) ports.push(Number.parseInt(local.split(':')[1] ?? '', 16))
    }
  return ports
}

async function status(pid: number): Promise<Record<string, string>> {
  const lines = (await readFile(`/proc/${pid}/status`, 'utf8')).split('\n')
  return Object.fromEntries(lines.map(line => line.split(/:\s*/, 2) as [string, string]))
}

describe('privilege', () => {
  let coderunner: CodeRunner
  before(async () => {
    coderunner = await CodeRunner.start()
  })
  after(() => coderunner[Symbol.asyncDispose]())

  test('coderunnerd is root and opens no network port', async () => {
    assert.equal((await status(coderunner.pid))['Uid']?.split('\t')[0], '0')
    assert.deepEqual(await listening(coderunner.pid), [])
  })

  test('server, ingress and PostgreSQL have a uid each, no capabilities, and cannot gain any', async () => {
    const uids = new Set<string>()
    for (const word of ['apps/server/src/main', 'apps/ingress/src/main', '/postgres -D']) {
      const [pid] = await children(coderunner.pid, word)
      assert.ok(pid !== undefined, word)
      const { Uid = '', CapEff, CapPrm, CapBnd, NoNewPrivs } = await status(pid)
      uids.add(Uid)
      assert.notEqual(Uid.split('\t')[0], '0')
      assert.deepEqual(
        { CapEff, CapPrm, CapBnd, NoNewPrivs },
        { CapEff: '0000000000000000', CapPrm: '0000000000000000', CapBnd: '0000000000000000', NoNewPrivs: '1' },
      )
    }
    assert.equal(uids.size, 3)
  })

  test('the server listens on the API’s port alone, PostgreSQL on none', async () => {
    const [server] = await children(coderunner.pid, 'apps/server/src/main')
    assert.deepEqual(await listening(server ?? 0), [Number(new URL(coderunner.apiUrl).port)])
    const [postgres] = await children(coderunner.pid, '/postgres -D')
    assert.deepEqual(await listening(postgres ?? 0), [])
  })

  test('the server sees nothing of what is root’s or another’s', async () => {
    const [server] = await children(coderunner.pid, 'apps/server/src/main')
    const inside = await readdir(`/proc/${server}/root${coderunner.dataDir}`)
    assert.deepEqual(inside.toSorted(), ['server'])
    assert.deepEqual(await readdir(`/proc/${server}/root/root`).catch(() => []), [])
  })
})
