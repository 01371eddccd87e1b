import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FileHashes } from './file-hashes.ts'
import { readSourceFolder, type SourceFile } from './source-folder.ts'

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')
const { signal } = new AbortController()

async function folderOf(count: number) {
  const path = await mkdtemp(join(tmpdir(), 'coderunner-hashes-'))
  await mkdir(join(path, 'code'))
  for (let n = 0; n < count; n++) {
    await writeFile(join(path, 'code', `f${n}`), `content ${n}`)
    // Old enough to be believed.
    await utimes(join(path, 'code', `f${n}`), 1e9, 1e9)
  }
  const files = async () => (await readSourceFolder(join(path, 'code'))).entries as SourceFile[]
  return { path, files, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

const all = (hashes: FileHashes, files: SourceFile[]) => Promise.all(files.map(file => hashes.of(file, signal)))

test('what was hashed is kept for the next run, and read again when it has changed', async () => {
  await using folder = await folderOf(250)
  await new Promise(resolve => setTimeout(resolve, 50))
  const first = await FileHashes.open(folder.path, 'root')
  const before = await all(first, await folder.files())
  await first.save('here')
  assert.equal((await readdir(join(folder.path, 'hashes'))).length, 1)
  const again = await FileHashes.open(folder.path, 'root')
  assert.equal(again.storedAt('elsewhere'), undefined)
  assert.deepEqual([...(again.storedAt('here') ?? [])].toSorted(), before.toSorted())
  const files = await folder.files()
  // Not read: there is nothing at the place any more.
  const elsewhere = files.map(file => ({ ...file, absolute: '/nonexistent' }))
  assert.deepEqual(await all(again, elsewhere), before)
  // Of the same size, and with the time set back: only the attributes' own time tells.
  await writeFile(join(folder.path, 'code', 'f7'), 'CONTENT 7')
  await utimes(join(folder.path, 'code', 'f7'), 1e9, 1e9)
  const [changed] = (await folder.files()).filter(({ path }) => path === 'f7')
  assert.equal(await again.of(changed as SourceFile, signal), hashOf('CONTENT 7'))
})

test('a file changed just before it was read is read again', async () => {
  await using folder = await folderOf(1)
  const hashes = FileHashes.inMemory()
  const [file] = await folder.files()
  const fresh = { ...(file as SourceFile), changedAtMs: Date.now() }
  assert.equal(await hashes.of(fresh, signal), hashOf('content 0'))
  await writeFile(fresh.absolute, 'changed!!')
  assert.equal(await hashes.of(fresh, signal), hashOf('changed!!'))
})

test('a damaged list costs time only; names of objects are names of files', async () => {
  await using folder = await folderOf(1)
  await mkdir(join(folder.path, 'hashes'))
  const name = `${createHash('sha256').update('root').digest('hex').slice(0, 32)}.json`
  for (const damaged of ['{"files":', 'null', '[]', '{"files": 7}']) {
    await writeFile(join(folder.path, 'hashes', name), damaged)
    const hashes = await FileHashes.open(folder.path, 'root')
    const [file] = await folder.files()
    assert.equal(await hashes.of(file as SourceFile, signal), hashOf('content 0'))
    assert.equal(await hashes.of({ ...(file as SourceFile), path: 'constructor' }, signal), hashOf('content 0'))
  }
})
