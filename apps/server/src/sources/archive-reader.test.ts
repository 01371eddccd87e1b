import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { archiveLimits } from './archive-limits.ts'
import { readArchive } from './archive-reader.ts'
import type { SourceEntry } from './source-tree.ts'
import { StagedUpload } from './staged-upload.ts'

const directory = await mkdtemp(join(tmpdir(), 'archive-test-'))
after(() => rm(directory, { recursive: true }))

type Entry = Partial<Header> & { name: string; content?: string }

async function tarOf(...entries: Entry[]): Promise<Buffer> {
  const tar = pack()
  const whole = buffer(tar)
  for (const { content, ...headers } of entries) tar.entry(headers, content ?? '')
  tar.finalize()
  return whole
}

const file = (name: string, content = 'x'): Entry => ({ name, content })

async function read(archive: Buffer, limits = archiveLimits): Promise<SourceEntry[]> {
  await using upload = await StagedUpload.create(directory)
  // In small pieces, as from a network.
  const pieces = function* () {
    for (let at = 0; at < archive.byteLength; at += 10_007) yield archive.subarray(at, at + 10_007)
  }
  return await readArchive(Readable.from(pieces(), { objectMode: false }), upload, limits)
}

const paths = (tree: SourceEntry[]) => tree.map(entry => entry.path)

test('takes tar and tar.gz, with a leading ./', async () => {
  const archive = await tarOf({ name: './', type: 'directory' }, file('./a.js', 'a'), file('lib/b.js'))
  assert.deepEqual(paths(await read(archive)), ['a.js', 'lib/b.js'])
  assert.deepEqual(paths(await read(gzipSync(archive))), ['a.js', 'lib/b.js'])
})

test('takes what GNU tar makes of a folder, with modes, links and long names', async () => {
  const folder = join(directory, 'project')
  const long = `${'d'.repeat(80)}/${'e'.repeat(80)}`
  await mkdir(join(folder, long), { recursive: true })
  await writeFile(join(folder, long, '文件.js'), 'long')
  await writeFile(join(folder, 'run.sh'), 'x', { mode: 0o755 })
  await symlink('run.sh', join(folder, 'link'))
  for (const format of ['gnu', 'pax', 'ustar']) {
    const { stdout } = spawnSync('tar', ['cz', `--format=${format}`, '--sort=name', '.'], {
      cwd: folder,
      maxBuffer: 1e7,
    })
    const tree = await read(stdout)
    assert.deepEqual(paths(tree), [`${long}/文件.js`, 'link', 'run.sh'])
    assert.deepEqual(tree[1], { path: 'link', link: 'run.sh' })
    assert.equal((tree[2] as { executable: boolean }).executable, true)
  }
})

test('contents arrive whole, small and large, with their hash', async () => {
  await using upload = await StagedUpload.create(directory)
  const large = 'y'.repeat(3_000_001)
  const archive = await tarOf(file('small', 'abc'), file('large', large), file('empty', ''))
  const tree = await readArchive(Readable.from([archive]), upload)
  assert.deepEqual(
    tree.map(entry => 'size' in entry && entry.size),
    [3, 3_000_001, 0],
  )
  assert.equal((tree[0] as { hash: string }).hash, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  assert.equal((await readdir(join(upload.pathOf(''), '.'))).length, 3)
})

test('.git and node_modules are left out at any depth, whatever is in them', async () => {
  const archive = await tarOf(
    file('.git/HEAD'),
    file('packages/a/node_modules/x/index.js'),
    { name: 'node_modules/dev', type: 'character-device' },
    { name: 'node_modules/.bin/x', type: 'symlink', linkname: '/etc/passwd' },
    file('.gitignore'),
  )
  assert.deepEqual(paths(await read(archive)), ['.gitignore'])
})

test('a hard link to an earlier file is a second file; links within are kept', async () => {
  const archive = await tarOf(
    file('a', 'same'),
    { name: 'b', type: 'link', linkname: './a' },
    { name: 'dir/up', type: 'symlink', linkname: '../a' },
    { name: 'dangling', type: 'symlink', linkname: 'nothing' },
  )
  const tree = await read(archive)
  assert.equal((tree[0] as { hash: string }).hash, (tree[1] as { hash: string }).hash)
  assert.deepEqual(tree[2], { path: 'dir/up', link: '../a' })
})

const nonUtf8 = async () => {
  const archive = await tarOf(file('aaaa'))
  archive[0] = 0xff
  let sum = 8 * 32
  for (let at = 0; at < 512; at++) if (at < 148 || at >= 156) sum += archive[at] ?? 0
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return archive
}

const refusals: [string, () => Promise<Buffer>, RegExp][] = [
  ['.. in a path', () => tarOf(file('../evil')), /holds “\.\.”/],
  ['.. in the middle', () => tarOf(file('a/../../evil')), /holds “\.\.”/],
  ['.. below a skipped folder', () => tarOf(file('node_modules/../../evil')), /holds “\.\.”/],
  ['an absolute path', () => tarOf(file('/etc/passwd')), /is absolute/],
  ['an absolute link', () => tarOf({ name: 'l', type: 'symlink', linkname: '/etc/passwd' }), /link out of the project/],
  ['a link upwards', () => tarOf({ name: 'a/l', type: 'symlink', linkname: '../../x' }), /link out of the project/],
  [
    'a link that leaves through another link',
    () =>
      tarOf(
        { name: 'deep/a/b', type: 'symlink', linkname: '../..' },
        { name: 'l', type: 'symlink', linkname: 'deep/a/b/../x' },
      ),
    /link out of the project/,
  ],
  ['a link to itself', () => tarOf({ name: 'l', type: 'symlink', linkname: 'l' }), /link out of the project/],
  [
    'a file below a link',
    () => tarOf({ name: 'l', type: 'symlink', linkname: 'dir' }, file('l/evil')),
    /lies below l, which is a link/,
  ],
  ['a file below a file', () => tarOf(file('a'), file('a/b')), /which is a file/],
  ['a device', () => tarOf({ name: 'null', type: 'character-device' }), /character device/],
  ['a fifo', () => tarOf({ name: 'pipe', type: 'fifo' }), /fifo/],
  ['a hard link to the outside', () => tarOf({ name: 'h', type: 'link', linkname: '../../etc/passwd' }), /hard link/],
  ['a hard link to a later file', () => tarOf({ name: 'h', type: 'link', linkname: 'a' }, file('a')), /hard link/],
  ['a path twice', () => tarOf(file('a'), file('./a')), /is there twice/],
  ['control characters', () => tarOf(file('a\nb')), /a\\x0ab” holds control characters/],
  ['an escape sequence', () => tarOf(file('a\u001b[31m')), /\\x1b/],
  ['NUL in a long name', () => tarOf({ ...file('x'), pax: { path: 'a\0b' } }), /control characters/],
  ['names that are not UTF-8', nonUtf8, /not valid UTF-8/],
  ['long paths', () => tarOf(file(`${'d/'.repeat(600)}x`)), /longer than 1024/],
  ['long names', () => tarOf(file('n'.repeat(256))), /longer than 255/],
  ['nothing', async () => Buffer.alloc(0), /empty/],
  ['a zip that is none', async () => Buffer.from('PK\u0003\u0004rest of a zip'), /zip archive is cut off/],
  ['a rar', async () => Buffer.from('Rar!rest'), /rar archive; send zip or tar\.gz/],
  ['text', async () => Buffer.from('{"files": []}'), /not a zip, tar or tar\.gz/],
  ['gzip of text', async () => gzipSync('hello'), /cut off|damaged/],
  ['a damaged header', async () => Buffer.from(await tarOf(file('a'), file('b'))).fill(1, 1024, 1100), /damaged/],
]

for (const [what, make, message] of refusals)
  test(`refuses ${what}`, async () => {
    const archive = await make()
    await assert.rejects(read(archive), { code: 'invalid_archive', message })
  })

test('refuses whatever is cut off, wherever', async () => {
  const archive = await tarOf(file('a', 'a'.repeat(5000)), file('b'))
  const packed = gzipSync(archive)
  for (const at of [1, 20, 100, packed.byteLength - 12, packed.byteLength - 1])
    await assert.rejects(read(packed.subarray(0, at)), { code: 'invalid_archive' }, `gzip cut at ${at}`)
  for (const at of [300, 512, 1000, 5632, 6656])
    await assert.rejects(read(archive.subarray(0, at)), { code: 'invalid_archive' }, `tar cut at ${at}`)
})

test('keeps to its limits', async () => {
  const entries = await tarOf(...Array.from({ length: 20 }, (_, n) => file(`f${n}`)))
  await assert.rejects(read(entries, { ...archiveLimits, entries: 10 }), {
    code: 'invalid_archive',
    message: /10 entries/,
  })
  const zeros = gzipSync(Buffer.from(await tarOf(file('zeros', '\0'.repeat(20_000_000)))))
  await assert.rejects(read(zeros), { code: 'invalid_archive', message: /decompression bomb/ })
  await assert.rejects(read(zeros, { ...archiveLimits, unpackedBytes: 1e6 }), { code: 'too_large' })
  await assert.rejects(read(zeros, { ...archiveLimits, packedBytes: 100 }), { code: 'too_large' })
})

test('a broken upload is told as such and leaves nothing staged', async () => {
  const body = new Readable({
    read() {
      this.push(gzipSync('x'))
      this.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }))
    },
  })
  await assert.rejects(readArchive(body, { add: async () => ({ hash: '', size: 0 }), spool: async () => '' }), {
    code: 'invalid_archive',
  })
  assert.deepEqual(
    (await readdir(directory)).filter(name => name.startsWith('upload-')),
    [],
  )
})
