import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { crc32, deflateRawSync } from 'node:zlib'
import { archiveLimits } from './archive-limits.ts'
import { readArchive } from './archive-reader.ts'
import type { SourceEntry } from './source-tree.ts'
import { StagedUpload } from './staged-upload.ts'
import { withoutWrappingFolder } from './wrapping-folder.ts'

const directory = await mkdtemp(join(tmpdir(), 'zip-test-'))
after(() => rm(directory, { recursive: true }))

interface Part {
  name: string | Buffer
  content?: string | Buffer
  /** Unix mode with its type bits; absent: made on DOS. */
  mode?: number
  method?: number
  flags?: number
  /** What the lists say instead of the truth. */
  says?: { size?: number; crc?: number; localName?: string; at?: number }
}

/** An archive by hand, so that it can lie. */
function zipOf(...parts: Part[]): Buffer {
  const bodies: Buffer[] = []
  const list: Buffer[] = []
  let at = 0
  for (const { name, content = 'x', mode, method = 8, flags = 0x800, says = {} } of parts) {
    const plain = Buffer.from(content)
    const packed = method === 8 ? deflateRawSync(plain) : plain
    const fileName = Buffer.from(name)
    const localName = says.localName === undefined ? fileName : Buffer.from(says.localName)
    const shared = Buffer.alloc(26)
    shared.writeUInt16LE(20, 0)
    shared.writeUInt16LE(flags, 2)
    shared.writeUInt16LE(method, 4)
    shared.writeUInt32LE(says.crc ?? crc32(plain), 10)
    shared.writeUInt32LE(packed.byteLength, 14)
    shared.writeUInt32LE(says.size ?? plain.byteLength, 18)
    shared.writeUInt16LE(fileName.byteLength, 22)
    const local = Buffer.concat([Buffer.from('PK\u0003\u0004'), shared, localName, packed])
    local.writeUInt16LE(localName.byteLength, 26)
    const entry = Buffer.alloc(46)
    entry.write('PK\u0001\u0002', 'latin1')
    entry.writeUInt16LE(mode === undefined ? 20 : (3 << 8) | 20, 4)
    shared.copy(entry, 6)
    entry.writeUInt32LE(((mode ?? 0) << 16) >>> 0, 38)
    entry.writeUInt32LE(says.at ?? at, 42)
    list.push(entry, fileName)
    bodies.push(local)
    at += local.byteLength
  }
  const central = Buffer.concat(list)
  const end = Buffer.alloc(22)
  end.write('PK\u0005\u0006', 'latin1')
  end.writeUInt16LE(parts.length, 8)
  end.writeUInt16LE(parts.length, 10)
  end.writeUInt32LE(central.byteLength, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...bodies, central, end])
}

async function read(archive: Buffer, limits = archiveLimits): Promise<SourceEntry[]> {
  await using upload = await StagedUpload.create(directory)
  return await readArchive(Readable.from([archive.subarray(0, 100), archive.subarray(100)]), upload, limits)
}

const paths = (tree: readonly SourceEntry[]) => tree.map(entry => entry.path)

test('files, folders, links and the executable bit', async () => {
  const tree = await read(
    zipOf(
      { name: 'lib/', content: '', mode: 0o40755 },
      { name: 'lib/run.sh', mode: 0o100755 },
      { name: './a.js', content: 'abc', method: 0 },
      { name: 'link', content: 'lib/run.sh', mode: 0o120777 },
      { name: 'windows\\b.js' },
      { name: 'd/文件.js', flags: 0 },
      { name: '__MACOSX/._a.js' },
      { name: 'node_modules/x/index.js' },
    ),
  )
  assert.deepEqual(paths(tree), ['lib/run.sh', 'a.js', 'link', 'windows/b.js', 'd/文件.js'])
  assert.equal((tree[0] as { executable: boolean }).executable, true)
  assert.deepEqual(tree[1], {
    path: 'a.js',
    hash: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    size: 3,
    executable: false,
  })
  assert.deepEqual(tree[2], { path: 'link', link: 'lib/run.sh' })
})

test('takes what other programs make', async () => {
  const folder = join(directory, 'project')
  await mkdir(join(folder, 'deep/er'), { recursive: true })
  await writeFile(join(folder, 'deep/er/ü.js'), 'y'.repeat(2_000_000))
  await writeFile(join(folder, 'run.sh'), 'x', { mode: 0o755 })
  await symlink('run.sh', join(folder, 'link'))
  const program = `
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:
    for name in ['deep/er/ü.js', 'run.sh']: archive.write(name)
    with archive.open('streamed.txt', 'w') as out: out.write(b'hello')
`
  const made = spawnSync('python3', ['-c', program, join(directory, 'made.zip')], { cwd: folder, encoding: 'utf8' })
  assert.equal(made.status, 0, made.stderr)
  const tree = await read(await readFile(join(directory, 'made.zip')))
  assert.deepEqual(paths(tree), ['deep/er/ü.js', 'run.sh', 'streamed.txt'])
  assert.equal((tree[1] as { executable: boolean }).executable, true)
})

const good = zipOf({ name: 'a', content: 'hello '.repeat(100) }, { name: 'b' })

const refusals: [string, Buffer, RegExp][] = [
  ['.. in a path', zipOf({ name: '../evil' }), /holds “\.\.”/],
  ['.. with backslashes', zipOf({ name: '..\\evil' }), /holds “\.\.”/],
  ['an absolute path', zipOf({ name: '/etc/passwd' }), /is absolute/],
  ['a link out of the tree', zipOf({ name: 'l', content: '../../x', mode: 0o120777 }), /link out of the project/],
  ['an absolute link', zipOf({ name: 'l', content: '/etc/passwd', mode: 0o120777 }), /link out of the project/],
  ['a long link', zipOf({ name: 'l', content: 'x'.repeat(2000), mode: 0o120777 }), /unusable target/],
  ['a file below a link', zipOf({ name: 'l', content: 'd', mode: 0o120777 }, { name: 'l/x' }), /which is a link/],
  ['a device', zipOf({ name: 'null', mode: 0o20666 }), /character device/],
  ['a fifo', zipOf({ name: 'pipe', mode: 0o10666 }), /fifo/],
  ['a path twice', zipOf({ name: 'a' }, { name: './a' }), /is there twice/],
  ['control characters', zipOf({ name: 'a\nb' }), /control characters/],
  ['NUL', zipOf({ name: 'a\0b' }), /control characters/],
  ['long names', zipOf({ name: 'n'.repeat(256) }), /longer than 255/],
  ['encryption', zipOf({ name: 'a', flags: 0x801 }), /encrypted/],
  ['an unknown method', zipOf({ name: 'a', method: 14 }), /method 14/],
  ['a wrong checksum', zipOf({ name: 'a', says: { crc: 1 } }), /checksum/],
  ['more content than the list says', zipOf({ name: 'a', content: 'x'.repeat(5000), says: { size: 10 } }), /damaged/],
  ['less content than the list says', zipOf({ name: 'a', content: 'x', says: { size: 5000 } }), /damaged/],
  ['another name before the content', zipOf({ name: 'a', says: { localName: 'b' } }), /another name/],
  ['contents that overlap', zipOf({ name: 'a' }, { name: 'a', says: { at: 0 } }), /overlaps/],
  ['a list that points nowhere', zipOf({ name: 'a', says: { at: 9999 } }), /damaged|cut off/],
  ['bytes changed', Buffer.from(good).fill(0xff, 40, 45), /damaged|checksum|another name/],
]

for (const [what, archive, message] of refusals)
  test(`refuses ${what}`, async () => {
    await assert.rejects(read(archive), { code: 'invalid_archive', message })
  })

test('refuses whatever is cut off, wherever', async () => {
  for (const at of [5, 30, 60, good.byteLength - 23, good.byteLength - 1])
    await assert.rejects(read(good.subarray(0, at)), { code: 'invalid_archive' }, `cut at ${at}`)
})

test('keeps to its limits', async () => {
  const many = zipOf(...Array.from({ length: 20 }, (_, n) => ({ name: `f${n}` })))
  await assert.rejects(read(many, { ...archiveLimits, entries: 10 }), { message: /10 entries/ })
  const zeros = zipOf({ name: 'zeros', content: Buffer.alloc(20_000_000) })
  await assert.rejects(read(zeros), { code: 'invalid_archive', message: /decompression bomb/ })
  await assert.rejects(read(zeros, { ...archiveLimits, unpackedBytes: 1e6 }), { code: 'too_large' })
  await assert.rejects(read(zeros, { ...archiveLimits, packedBytes: 100 }), { code: 'too_large' })
  // One content under many names: the list is small, what it unpacks to is not.
  const quine = zipOf(
    { name: 'f0', content: Buffer.alloc(1_000_000) },
    ...Array.from({ length: 50 }, (_, n) => ({
      name: `g${n}`,
      content: Buffer.alloc(1_000_000),
      says: { at: 0 },
    })),
  )
  await assert.rejects(read(quine), { code: 'invalid_archive' })
})

test('one folder around everything is taken off, unless it says something', async () => {
  const inner = (tree: readonly SourceEntry[]) => paths(withoutWrappingFolder(tree))
  const tree = (...names: string[]) => read(zipOf(...names.map(name => ({ name }))))
  assert.deepEqual(inner(await tree('repo-main/package.json', 'repo-main/src/a.js')), ['package.json', 'src/a.js'])
  for (const names of [
    ['a/x', 'b/y'],
    ['public/index.html', 'public/a.css'],
    ['src/index.js'],
    ['.github/x'],
    ['file'],
    ['repo/x', 'README.md'],
  ])
    assert.deepEqual(inner(await tree(...names)), names)
  const named = zipOf({ name: 'r/a' }, { name: 'r/l', content: '../r/a', mode: 0o120777 })
  assert.deepEqual(inner(await read(named)), ['r/a', 'r/l'])
})
