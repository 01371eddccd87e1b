import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { systemEnvironment } from '../kernel/system-programs.ts'
import { exposeLoopback, listeningPorts, readListeners } from './listening-ports.ts'
import { listTables } from './nft.ts'
import { SandboxNetwork } from './sandbox-network.ts'

const run = promisify(execFile)
const instance = `crt${process.pid % 100_000}`
const stateDir = mkdtempSync(join(tmpdir(), 'cr-network-'))
const options = { instance, stateDir, egressAllow: [] }
const children: ChildProcess[] = []
let network: SandboxNetwork

interface Namespace {
  slot: number
  pid: number
  address: string
}

/** A process in a network namespace of its own, where a sandbox would be. It ends with the test's end of the pipe. */
async function makeNamespace(slot: number): Promise<Namespace> {
  const child = spawn('unshare', ['--user', '--map-root-user', '--net', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  child.stdin.write('in\n')
  await once(child.stdout, 'data')
  assert.ok(child.pid)
  return { slot, pid: child.pid, address: network.addressOf(slot) }
}

const inside = (namespace: Namespace, ...command: string[]): [string, string[]] => [
  'nsenter',
  ['--net', '--target', `${namespace.pid}`, '--', ...command],
]

/** A program of Node that runs in the namespace and says one line when it is ready. */
async function serve(namespace: Namespace, program: string): Promise<ChildProcess> {
  const child = spawn(...inside(namespace, process.execPath, '-e', program), { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  await once(child.stdout, 'data')
  return child
}
const httpServer = (host: string, port: number): string =>
  `require('http').createServer((q, r) => r.end('from ' + q.socket.remoteAddress)).listen(${port}, ${JSON.stringify(host)}, () => console.log('up'))`

interface Attempt {
  outcome: string
  ms: number
}
/** Connects to each target in turn; the outcome is `connected` or the error's code. */
async function attempts(namespace: Namespace, ...targets: string[]): Promise<Attempt[]> {
  const program = `
    const net = require('net')
    const attempt = target => new Promise(resolve => {
      const [host, port] = target.split(':')
      const start = performance.now()
      const done = outcome => { socket.destroy(); resolve({ outcome, ms: performance.now() - start }) }
      const socket = net.connect({ host, port: Number(port), timeout: 3000 })
      socket.on('connect', () => done('connected')).on('error', e => done(e.code)).on('timeout', () => done('timeout'))
    })
    ;(async () => {
      const results = []
      for (const target of ${JSON.stringify(targets)}) results.push(await attempt(target))
      console.log(JSON.stringify(results))
    })()`
  const { stdout } = await run(...inside(namespace, process.execPath, '-e', program))
  return JSON.parse(stdout) as Attempt[]
}
async function assertRefused(namespace: Namespace, ...targets: string[]): Promise<void> {
  const results = await attempts(namespace, ...targets)
  results.forEach(({ outcome, ms }, at) => {
    assert.equal(outcome, 'ECONNREFUSED', targets[at])
    assert.ok(ms < 200, `${targets[at]} took ${ms} ms`)
  })
}
async function assertConnects(namespace: Namespace, ...targets: string[]): Promise<void> {
  const results = await attempts(namespace, ...targets)
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    targets.map(() => 'connected'),
  )
}

const links = (): string[] => readdirSync('/sys/class/net').filter(name => name.startsWith(`${instance}s`))
const loopbackAddresses = async (): Promise<string> => (await run('ip', ['-4', 'address', 'show', 'dev', 'lo'])).stdout

let one: Namespace
let two: Namespace
let other: Namespace
let closed: Namespace

before(async () => {
  network = await SandboxNetwork.start(options)
  ;[one, two, other, closed] = [
    await makeNamespace(0),
    await makeNamespace(1),
    await makeNamespace(2),
    await makeNamespace(3),
  ]
  await Promise.all([
    network.attach({ slot: 0, pid: one.pid, group: 'a', egress: 'internet' }),
    network.attach({ slot: 1, pid: two.pid, group: 'a', egress: 'internet' }),
    network.attach({ slot: 2, pid: other.pid, group: 'b', egress: 'internet' }),
    network.attach({ slot: 3, pid: closed.pid, group: 'c', egress: 'none' }),
  ])
  await Promise.all([one, two, other].map(async namespace => serve(namespace, httpServer('0.0.0.0', 3000))))
})

after(async () => {
  await network.remove()
  for (const child of children) child.kill('SIGKILL')
  assert.deepEqual(links(), [])
  assert.deepEqual(
    (await listTables()).filter(table => table.name === instance),
    [],
  )
  assert.ok(!(await loopbackAddresses()).includes(network.gateway))
  assert.deepEqual(readdirSync(stateDir), [])
  rmSync(stateDir, { recursive: true })
})

test('the host reaches a sandbox, and is its gateway there', async () => {
  const answer = await fetch(`http://${one.address}:3000`)
  assert.equal(await answer.text(), `from ${network.gateway}`)
})

test('an address without a sandbox is refused at once on the host, not asked for elsewhere', async () => {
  const socket = connect(3000, network.addressOf(9))
  const began = performance.now()
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNREFUSED')
  assert.ok(performance.now() - began < 500)
})

test('sandboxes of one group reach each other, those of another are refused at once', async () => {
  await assertConnects(one, `${two.address}:3000`, `${one.address}:3000`)
  await assertRefused(one, `${other.address}:3000`)
  await assertRefused(other, `${one.address}:3000`, `${two.address}:3000`)
  await assertRefused(closed, `${one.address}:3000`)
})

test('private ranges, metadata and services of the host are refused at once', async () => {
  const server = createServer().listen(0, '0.0.0.0')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    await assertRefused(
      one,
      ...[network.gateway, ownAddress()].map(host => `${host}:${port}`),
      '169.254.169.254:80',
      '10.1.2.3:80',
      '172.17.0.1:80',
      '192.168.1.1:80',
      '100.64.1.1:80',
      '198.51.100.9:80',
    )
  } finally {
    server.close()
  }
})

test('a sandbox without egress reaches nothing, not even the resolver', async () => {
  await assertRefused(closed, '1.1.1.1:443', `${network.gateway}:53`)
})

test('packets with another source address are dropped', async () => {
  const receiver = `const s = require('dgram').createSocket('udp4')
    s.on('message', (m, from) => console.log(String(m), from.address)).bind(4000, () => console.log('up'))`
  const child = await serve(two, receiver)
  assert.ok(child.stdout)
  // A member of the group, so that only the check of the link stands in the way.
  const member = await makeNamespace(6)
  await network.attach({ slot: 6, pid: member.pid, group: 'a', egress: 'internet' })
  await run(...inside(one, 'ip', 'address', 'add', `${member.address}/32`, 'dev', 'eth0'))
  const sender = `const dgram = require('dgram')
    const send = (from, text) => new Promise(done => {
      const s = dgram.createSocket('udp4')
      s.bind(0, from, () => s.send(text, 4000, '${two.address}', () => s.close(done)))
    })
    send('${member.address}', 'spoofed').then(() => send('${one.address}', 'own'))`
  const received = once(child.stdout, 'data')
  await run(...inside(one, process.execPath, '-e', sender))
  assert.equal(String((await received)[0]), `own ${one.address}\n`)
  await run(...inside(one, 'ip', 'address', 'del', `${member.address}/32`, 'dev', 'eth0'))
  await network.detach(6)
})

test('IPv6 is off inside', async () => {
  const { stdout } = await run(...inside(one, 'ip', '-6', 'address'))
  assert.equal(stdout, '')
})

test('the internet is reached, by name, and private addresses that were allowed', async context => {
  const registry = new URL((await run('npm', ['config', 'get', 'registry'])).stdout.trim())
  const found = await lookup(registry.hostname, 4).catch(() => undefined)
  if (found === undefined) return context.skip(`this machine cannot resolve ${registry.hostname}`)
  const target = `${found.address}:${registry.port || (registry.protocol === 'https:' ? 443 : 80)}`
  const allowed = await makeNamespace(4)
  await network.attach({ slot: 4, pid: allowed.pid, group: 'd', egress: 'none', allow: [target, found.address] })
  await assertConnects(allowed, target)
  await assertRefused(allowed, '1.1.1.1:443', '10.1.2.3:80')
  assert.deepEqual(await resolveInside(allowed, registry.hostname), [found.address])
  // Other rights for the same sandbox, without another link.
  await network.attach({ slot: 4, pid: allowed.pid, group: 'd', egress: 'none' })
  await assertRefused(allowed, target)
  await network.detach(4)
  assert.ok(!links().includes(`${instance}s4`))
  await network.detach(4)
})

/** The machine's own, where it has one besides loopback. */
function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flat()
  return addresses.find(entry => entry?.family === 'IPv4' && !entry.internal)?.address ?? network.gateway
}

async function resolveInside(namespace: Namespace, name: string): Promise<string[]> {
  const program = `const r = new (require('dns').promises.Resolver)({ timeout: 2000, tries: 1 })
    r.setServers(['${network.gateway}'])
    r.resolve4(${JSON.stringify(name)}).then(a => console.log(JSON.stringify(a)))`
  const { stdout } = await run(...inside(namespace, process.execPath, '-e', program))
  return JSON.parse(stdout) as string[]
}

test("a resolver on the host's loopback is asked too, and exceptions hold for all", async context => {
  const resolver = createSocket('udp4')
  // Answers every question with 192.0.2.77: the question with the answer bits set and one record after it.
  resolver.on('message', (question, from) => {
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77])
    const end = question.indexOf(0, 12) + 5
    const answer = Buffer.concat([question.subarray(0, end), record])
    answer.writeUInt16BE(0x8180, 2)
    answer.writeUInt16BE(1, 6)
    answer.writeUInt16BE(0, 10)
    resolver.send(answer, from.port, from.address)
  })
  resolver.bind(53, '127.0.0.177')
  await once(resolver, 'listening')
  const ownServices = [createServer().listen(0, '0.0.0.0'), createServer().listen(0, '0.0.0.0')]
  await Promise.all(ownServices.map(server => once(server, 'listening')))
  const [allowed, other] = ownServices.map(server => (server.address() as AddressInfo).port)
  const hostAddress = ownAddress()
  const instanceBefore = network
  const secondState = mkdtempSync(join(tmpdir(), 'cr-network-'))
  const second = await SandboxNetwork.start({
    instance: `${instance}b`,
    stateDir: secondState,
    egressAllow: [
      '198.51.100.0/24',
      '198.51.100.7:80',
      `${instanceBefore.addressOf(0)}:3000`,
      // A service of the host's own by its address and port; neither opens any other.
      `${hostAddress}:${allowed}`,
      `${hostAddress}/24`,
    ],
    resolver: '127.0.0.177',
  })
  try {
    assert.notEqual(second.gateway, network.gateway)
    const namespace = await makeNamespace(0)
    await second.attach({ slot: 0, pid: namespace.pid, group: 'a', egress: 'internet' })
    network = second
    assert.deepEqual(await resolveInside(namespace, 'anything.test'), ['192.0.2.77'])
    network = instanceBefore
    await assertRefused(namespace, '127.0.0.177:22', '10.1.2.3:80')
    const [service] = await attempts(namespace, `${hostAddress}:${allowed}`)
    assert.equal(service?.outcome, 'connected')
    await assertRefused(namespace, `${hostAddress}:${other}`)
    // An exception of one instance opens nothing of another's.
    const [{ outcome } = { outcome: '' }] = await attempts(namespace, `${one.address}:3000`)
    assert.notEqual(outcome, 'connected')
    context.diagnostic(`to another instance's sandbox: ${outcome}`)
  } finally {
    network = instanceBefore
    await second.remove()
    resolver.close()
    for (const server of ownServices) server.close()
    rmSync(secondState, { recursive: true })
  }
})

test('an application bound to 127.0.0.1 is found, and reached by the host alone once exposed', async () => {
  await serve(two, httpServer('127.0.0.1', 5000))
  assert.deepEqual(await listeningPorts(two.pid), [
    { port: 3000, bound: 'any' },
    { port: 5000, bound: 'loopback' },
  ])
  assert.deepEqual((await readListeners(two.pid)).map(({ port, address }) => `${address.join('.')}:${port}`).sort(), [
    '0.0.0.0:3000',
    '127.0.0.1:5000',
  ])
  const url = `http://${two.address}:5000`
  await assert.rejects(fetch(url))
  await exposeLoopback(two.pid, network.gateway, [5000])
  await exposeLoopback(two.pid, network.gateway, [5000, 5001])
  assert.equal((await fetch(url)).status, 200)
  assert.equal((await fetch(`http://${two.address}:3000`)).status, 200)
  await assertRefused(one, `${two.address}:5000`)
  await exposeLoopback(two.pid, network.gateway, [])
  await assert.rejects(fetch(url))
})

test('a new run adopts what is there and drops strangers', async () => {
  const stranger = await makeNamespace(9)
  await network.attach({ slot: 9, pid: stranger.pid, group: 'x', egress: 'internet' })
  const next = await SandboxNetwork.start(options)
  assert.equal(next.gateway, network.gateway)
  await assertConnects(one, `${two.address}:3000`)
  await assert.rejects(next.attach({ slot: 5, pid: one.pid, group: 'a', egress: 'none' }), /adopt/)
  await next.adopt([
    { slot: 0, pid: one.pid, group: 'a', egress: 'internet' },
    { slot: 1, pid: two.pid, group: 'a', egress: 'internet' },
    { slot: 2, pid: other.pid, group: 'b', egress: 'internet' },
    { slot: 3, pid: closed.pid, group: 'c', egress: 'none' },
  ])
  network = next
  assert.deepEqual(
    links().sort(),
    [0, 1, 2, 3].map(slot => `${instance}s${slot}`),
  )
  await assertConnects(one, `${two.address}:3000`)
  await assertRefused(one, `${other.address}:3000`)
  assert.equal((await fetch(`http://${one.address}:3000`)).status, 200)
})

test('rights that are taken away end open connections too', async () => {
  const echo = `require('net').createServer(s => s.pipe(s)).listen(6000, () => console.log('up'))`
  await serve(two, echo)
  const program = `
    const socket = require('net').connect(6000, ${JSON.stringify(two.address)}, () => socket.write('before'))
    socket.on('data', data => console.log(String(data))).on('error', error => console.log(error.code))
    process.stdin.on('data', data => socket.write(data))`
  const child = spawn(...inside(one, process.execPath, '-e', program), { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const said = async (): Promise<string> => String((await once(child.stdout, 'data'))[0]).trim()
  assert.equal(await said(), 'before')
  await network.attach({ slot: 0, pid: one.pid, group: 'elsewhere', egress: 'internet' })
  try {
    child.stdin.write('after')
    assert.equal(await said(), 'ECONNRESET')
    assert.equal((await fetch(`http://${one.address}:3000`)).status, 200)
  } finally {
    await network.attach({ slot: 0, pid: one.pid, group: 'a', egress: 'internet' })
  }
})

test('a table that somebody removed is written again, whole', async () => {
  await run('nft', ['delete', 'table', 'inet', instance], { env: systemEnvironment })
  const namespace = await makeNamespace(8)
  await network.attach({ slot: 8, pid: namespace.pid, group: 'a', egress: 'none' })
  await assertConnects(one, `${two.address}:3000`)
  await assertConnects(namespace, `${one.address}:3000`)
  await assertRefused(one, `${other.address}:3000`)
  await network.detach(8)
})

test('many come and go at once', async () => {
  const namespaces = await Promise.all([20, 21, 22, 23, 24, 25].map(async slot => makeNamespace(slot)))
  await Promise.all(
    namespaces.map(async ({ slot, pid }) => {
      await network.attach({ slot, pid, group: `g${slot % 2}`, egress: slot % 3 === 0 ? 'none' : 'internet' })
      if (slot < 22) await network.detach(slot)
    }),
  )
  const [a, b, c, d] = namespaces.slice(2)
  assert.ok(a && b && c && d)
  await Promise.all([c, d].map(async namespace => serve(namespace, httpServer('0.0.0.0', 3000))))
  await assertConnects(a, `${c.address}:3000`)
  await assertConnects(b, `${d.address}:3000`)
  await assertRefused(a, `${d.address}:3000`)
  await Promise.all(namespaces.map(async ({ slot }) => network.detach(slot)))
  const { stdout } = await run('nft', ['list', 'table', 'inet', instance], { env: systemEnvironment })
  for (const { address } of namespaces) assert.ok(!stdout.includes(`${address} `), address)
})

test('a sandbox whose namespace is gone leaves nothing half attached', async () => {
  await assert.rejects(network.attach({ slot: 7, pid: 4_000_000, group: 'a', egress: 'none' }))
  assert.ok(!links().includes(`${instance}s7`))
  const { stdout } = await run('nft', ['list', 'table', 'inet', instance], { env: systemEnvironment })
  assert.ok(!stdout.includes(network.addressOf(7)))
})

test('a sandbox already running is attached again without a new link', async () => {
  const indexBefore = readFileSync(`/sys/class/net/${instance}s0/ifindex`, 'utf8')
  await network.attach({ slot: 0, pid: one.pid, group: 'a', egress: 'internet' })
  assert.equal(readFileSync(`/sys/class/net/${instance}s0/ifindex`, 'utf8'), indexBefore)
})
