import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { readFiles } from './files-reader.ts'
import { StagedUpload } from './staged-upload.ts'

const hash = 'c'.repeat(64)
const read = async (files: Parameters<typeof readFiles>[0]) => {
  await using upload = await StagedUpload.create(tmpdir())
  return await readFiles(files, upload, async hashes => new Map(hashes.includes(hash) ? [[hash, 7]] : []))
}
const base64 = (text: string) => Buffer.from(text).toString('base64')

test('takes contents, known hashes and links', async () => {
  const tree = await read([
    { path: './a.js', content: base64('abc') },
    { path: 'b', hash, executable: true },
    { path: 'c', link: 'b' },
    { path: 'node_modules/x', content: '' },
    { path: 'empty', content: '' },
  ])
  assert.deepEqual(
    tree.map(entry => entry.path),
    ['a.js', 'b', 'c', 'empty'],
  )
  assert.deepEqual(tree[1], { path: 'b', hash, size: 7, executable: true })
})

test('names the path of a hash the project does not have', async () => {
  await assert.rejects(
    read([
      { path: 'a', content: '' },
      { path: 'lib/b.js', hash: 'd'.repeat(64) },
    ]),
    {
      code: 'missing_files',
      status: 422,
      details: [
        {
          path: '/files/1/hash',
          message: '“lib/b.js” is given by a hash this project does not have; send its content.',
        },
      ],
    },
  )
})

for (const [what, files] of Object.entries({
  'a path out of the project': [{ path: '../x', content: '' }],
  'an absolute path': [{ path: '/x', content: '' }],
  'a link out of the project': [{ path: 'x', link: '../y' }],
  'a path twice': [
    { path: 'x', content: '' },
    { path: './x', content: '' },
  ],
  'content that is not base64': [{ path: 'x', content: 'not base64!' }],
}))
  test(`refuses ${what}`, () => assert.rejects(read(files), { code: 'invalid_request', status: 400 }))
