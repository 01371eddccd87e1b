import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { dataExtents } from './extents.ts'
import { attachedLoops, attachLoop, mountImage } from './loop.ts'
import { bindMount, idmappedMount, mountOverlay, syncFileSystem, unmount, unmountAtRest } from './mount.ts'
import { openPathHandle, openSocketHandle } from './path-handle.ts'
import { systemEnvironment } from './system-programs.ts'
import { makeUserNamespace, openUserNamespace } from './user-namespace.ts'

let directory: string
const at = (name: string): string => join(directory, name)
const makeDirectories = (...names: string[]): void => names.forEach(name => mkdirSync(at(name), { recursive: true }))
const mountsBelow = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => line.includes(directory))

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cr-kernel-'))
})
afterEach(async () => {
  assert.deepEqual(mountsBelow(), [])
  assert.deepEqual(
    (await attachedLoops()).filter(loop => loop.imagePath.startsWith(directory)),
    [],
  )
  rmSync(directory, { recursive: true })
})

function makeImage(name: string): string {
  execFileSync('truncate', ['-s', '32M', at(name)])
  execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal', at(name)], { env: systemEnvironment })
  return at(name)
}

test('an overlay shows the topmost layer and takes writes in its upper directory', () => {
  makeDirectories('top', 'bottom:with,odd\\name', 'upper', 'work', 'target')
  writeFileSync(at('top/a'), 'top')
  writeFileSync(at('bottom:with,odd\\name/a'), 'bottom')
  writeFileSync(at('bottom:with,odd\\name/b'), 'bottom')
  mountOverlay(at('target'), {
    lower: [at('top'), at('bottom:with,odd\\name')],
    upper: at('upper'),
    work: at('work'),
  })
  try {
    assert.equal(readFileSync(at('target/a'), 'utf8'), 'top')
    assert.equal(readFileSync(at('target/b'), 'utf8'), 'bottom')
    writeFileSync(at('target/c'), 'written')
    assert.equal(readFileSync(at('upper/c'), 'utf8'), 'written')
  } finally {
    assert.equal(unmount(at('target')), true)
  }
  assert.equal(unmount(at('target')), false)
  assert.equal(unmount(at('never')), false)
})

test('a bind can be read-only while its source is not', () => {
  makeDirectories('source', 'target')
  bindMount(at('source'), at('target'), { readOnly: true, noSuid: true, noDev: true })
  try {
    assert.throws(() => writeFileSync(at('target/a'), ''), { code: 'EROFS' })
    writeFileSync(at('source/a'), '')
    assert.match(mountsBelow()[0] ?? '', /ro,nosuid,nodev/)
  } finally {
    unmount(at('target'))
  }
})

test('a refused mount says what was tried and why', () => {
  assert.throws(() => bindMount(at('absent'), at('target')), {
    code: 'ENOENT',
    message: `bind ${at('absent')} on ${at('target')}: ENOENT`,
  })
})

test('owners are mapped, both ways, also below an overlay', () => {
  makeDirectories('layer', 'mapped', 'disk/upper', 'disk/work', 'mapped-disk', 'target')
  writeFileSync(at('layer/root'), '')
  writeFileSync(at('layer/user'), '')
  chownSync(at('layer/user'), 1000, 1000)
  const range = { inside: 0, outside: 2_000_000, size: 65536 }
  const userNamespaceFd = openUserNamespace([range])
  const withMounter = openUserNamespace([range, { inside: 4_294_000_000, outside: 0, size: 1 }])
  try {
    idmappedMount(at('layer'), at('mapped'), { userNamespaceFd, readOnly: true })
    assert.equal(statSync(at('mapped/root')).uid, 2_000_000)
    assert.equal(statSync(at('mapped/user')).gid, 2_001_000)
    idmappedMount(at('disk'), at('mapped-disk'), { userNamespaceFd: withMounter })
    mountOverlay(at('target'), {
      lower: [at('mapped')],
      upper: at('mapped-disk/upper'),
      work: at('mapped-disk/work'),
    })
    chownSync(at('target'), 2_001_000, 2_001_000)
    writeFileSync(at('target/new'), '')
    chownSync(at('target/new'), 2_001_000, 2_001_000)
    assert.equal(statSync(at('disk/upper/new')).uid, 1000)
  } finally {
    for (const target of ['target', 'mapped-disk', 'mapped']) unmount(at(target))
    closeSync(userNamespaceFd)
    closeSync(withMounter)
  }
})

test('an image is mounted on a loop device that frees itself, and is at rest after unmounting', async () => {
  makeDirectories('disk')
  const image = makeImage('image')
  mountImage(image, at('disk'), { discard: true, noSuid: true })
  writeFileSync(at('disk/a'), 'kept')
  assert.equal((await attachedLoops()).filter(loop => loop.imagePath === image).length, 1)
  await syncFileSystem(at('disk'))
  await unmountAtRest(at('disk'))
  await unmountAtRest(at('disk'))
  assert.equal((await attachedLoops()).filter(loop => loop.imagePath === image).length, 0)
  mountImage(image, at('disk'), { readOnly: true })
  assert.equal(readFileSync(at('disk/a'), 'utf8'), 'kept')
  assert.throws(() => writeFileSync(at('disk/b'), ''), { code: 'EROFS' })
  unmount(at('disk'))
})

test('a sparse file is what is written in it', () => {
  const image = makeImage('image')
  const fd = openSync(image, 'r')
  try {
    const extents = dataExtents(fd)
    const bytes = extents.reduce((sum, { data }) => sum + data.length, 0)
    assert.ok(extents.length > 0 && bytes < 4 * 1024 ** 2, `${bytes} bytes`)
    const whole = readFileSync(image)
    for (const { offset, data } of extents) {
      assert.ok(data.equals(whole.subarray(offset, offset + data.length)))
      whole.fill(0, offset, offset + data.length)
    }
    assert.ok(whole.every(byte => byte === 0))
  } finally {
    closeSync(fd)
  }
})

test('a namespace made ahead maps like one made at once', async () => {
  makeDirectories('layer', 'mapped')
  writeFileSync(at('layer/root'), '')
  const userNamespaceFd = await makeUserNamespace([{ inside: 0, outside: 2_000_000, size: 65536 }])
  try {
    idmappedMount(at('layer'), at('mapped'), { userNamespaceFd, readOnly: true })
    assert.equal(statSync(at('mapped/root')).uid, 2_000_000)
  } finally {
    unmount(at('mapped'))
    closeSync(userNamespaceFd)
  }
})

test('a loop device that nothing mounted is freed when it is let go', async () => {
  const image = makeImage('image')
  {
    using device = attachLoop(image)
    assert.match(device.path, /^\/dev\/loop\d+$/)
  }
  assert.deepEqual(
    (await attachedLoops()).filter(loop => loop.imagePath === image),
    [],
  )
})

test('work is done in the network namespace of a process, and the thread returns', () => {
  const before = statSync('/proc/thread-self/ns/net').ino
  const interfaces = spawnSync('unshare', [
    '--net',
    process.execPath,
    '--input-type=module-typescript',
    '-e',
    inside(process.pid),
  ])
  assert.equal(interfaces.stderr.toString(), '')
  const [own, entered, after] = JSON.parse(interfaces.stdout.toString()) as number[]
  assert.equal(entered, before)
  assert.notEqual(own, before)
  assert.equal(after, own)
})
const inside = (pid: number): string => `
  import { statSync } from 'node:fs'
  import { inNetworkNamespace } from ${JSON.stringify(new URL('namespaces.ts', import.meta.url).href)}
  const ino = () => statSync('/proc/thread-self/ns/net').ino
  console.log(JSON.stringify([ino(), inNetworkNamespace(${pid}, ino), ino()]))`

test('a launcher gets a mount namespace of its own and gives up every right', () => {
  const script = `
    import { mkdirSync } from 'node:fs'
    import { enterPrivateMountNamespace } from ${JSON.stringify(new URL('namespaces.ts', import.meta.url).href)}
    import { mountFileSystem } from ${JSON.stringify(new URL('mount.ts', import.meta.url).href)}
    import { becomeUser } from ${JSON.stringify(new URL('privileges.ts', import.meta.url).href)}
    enterPrivateMountNamespace()
    mountFileSystem(${JSON.stringify(directory)}, { source: 'tmpfs', type: 'tmpfs' })
    becomeUser({ uid: 990009, gid: 990009 })
    process.execve('/bin/cat', ['cat', '/proc/self/status', '/proc/self/mountinfo'])`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  assert.match(stdout, /^Uid:\t990009\t990009\t990009\t990009$/m)
  assert.match(stdout, /^Groups:\t *$/m)
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(stdout, new RegExp(`^${set}:\t0+$`, 'm'))
  assert.match(stdout, /^NoNewPrivs:\t1$/m)
  assert.ok(stdout.includes(`${directory} rw`))
  assert.deepEqual(mountsBelow(), [])
})

test('a path is looked at without following or opening what lies there', async () => {
  writeFileSync(at('file'), 'text')
  execFileSync('ln', ['-s', '/etc/passwd', at('link')])
  execFileSync('mkfifo', [at('fifo')])
  {
    using file = openPathHandle(at('file'))
    rmSync(at('file'))
    assert.equal(readFileSync(file.path, 'utf8'), 'text')
    using link = openPathHandle(at('link'))
    assert.equal(link.stats.isSymbolicLink(), true)
    using fifo = openPathHandle(at('fifo'))
    assert.equal(fifo.stats.isFIFO(), true)
  }
  assert.throws(() => openSocketHandle(at('link')), /is not a socket/)
  const server = createServer()
  await new Promise<void>(resolve => server.listen(at('socket'), resolve))
  try {
    using socket = openSocketHandle(at('socket'))
    assert.equal(socket.stats.isSocket(), true)
  } finally {
    await new Promise(resolve => server.close(resolve))
  }
})
