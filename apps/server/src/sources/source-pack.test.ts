import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { readArchive } from './archive-reader.ts'
import { packSource } from './source-pack.ts'
import { StagedUpload } from './staged-upload.ts'

const contents = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(2_000_000, 'x')]
const hashOf = (content: Buffer) => createHash('sha256').update(content).digest('hex')
const blobs = new Map(contents.map(content => [hashOf(content), content]))
const tree = [
  ...contents.map((content, n) => ({
    path: `d/f${n}`,
    hash: hashOf(content),
    size: content.byteLength,
    executable: n === 0,
  })),
  { path: `${'long/'.repeat(50)}文件`, link: '../x' },
]

test('what is packed is read back as the same tree', async () => {
  await using upload = await StagedUpload.create('/tmp')
  const packed = packSource(tree, hash => Readable.from([blobs.get(hash)], { objectMode: false }))
  assert.deepEqual(await readArchive(packed, upload), tree)
})

test('some files may be given another content', async () => {
  await using upload = await StagedUpload.create('/tmp')
  const packed = packSource(tree, hash => Readable.from([blobs.get(hash)]), new Map([['d/f1', Buffer.from('new')]]))
  const read = await readArchive(packed, upload)
  assert.equal((read[1] as { size: number }).size, 3)
})

test('a content that cannot be read breaks the stream', async () => {
  const broken = () =>
    new Readable({
      read() {
        this.destroy(new Error('disk'))
      },
    })
  await assert.rejects(packSource(tree, broken).toArray(), /disk/)
})
