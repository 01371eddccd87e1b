import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { newId } from '@coderunner/contract'
import { testDatabase } from '../testing.ts'
import { configuration } from './configuration-store.ts'
import { SecretBox } from './secret-box.ts'
import { loadSecretKey } from './secret-key.ts'

test('what is sealed is opened with the same key and context only', () => {
  const [key, older] = [randomBytes(32), randomBytes(32)]
  const box = new SecretBox(key)
  const sealed = box.seal('hunter2', 'project')
  assert.ok(!sealed.sealed.includes('hunter2'))
  assert.equal(box.open(sealed, 'project'), 'hunter2')
  assert.notDeepEqual(box.seal('hunter2', 'project').sealed, sealed.sealed)
  assert.throws(() => box.open(sealed, 'another'))
  const changed = Buffer.from(sealed.sealed)
  changed[14] = (changed[14] ?? 0) ^ 1
  assert.throws(() => box.open({ ...sealed, sealed: changed }, 'project'))
  assert.throws(() => new SecretBox(older).open(sealed, 'project'), /missing/)
  assert.equal(new SecretBox(older, [key]).open(sealed, 'project'), 'hunter2')
  assert.notDeepEqual(box.derive('a'), box.derive('b'))
})

test('the key file is made once, for its owner alone', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'coderunner-key-'))
  try {
    const dataDirectory = join(directory, 'data')
    const keys = await Promise.all([1, 2].map(() => loadSecretKey({ dataDirectory })))
    assert.equal(keys[0]?.length, 32)
    assert.deepEqual(keys[0], keys[1])
    assert.deepEqual(await loadSecretKey({ dataDirectory }), keys[0])
    assert.deepEqual(await readdir(dataDirectory), ['secret.key'])
    assert.equal((await stat(join(dataDirectory, 'secret.key'))).mode & 0o777, 0o600)
    await writeFile(join(dataDirectory, 'secret.key'), 'short')
    await assert.rejects(loadSecretKey({ dataDirectory }), /Restore it from a backup/)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('every change of a configuration is a version of its own', async () => {
  await using created = await testDatabase()
  const { db } = created
  const projectId = newId()
  await db.insertInto('project').values({ id: projectId, name: 'p', port: 20_000 }).execute()
  const store = configuration(db, new SecretBox(randomBytes(32)))
  assert.equal(await store.latest(projectId), undefined)
  const ids = await Promise.all(['a', 'b', 'c'].map(value => store.append(projectId, { SECRET: value }, null)))
  assert.deepEqual(
    await Promise.all(ids.map(id => store.read(id))),
    ['a', 'b', 'c'].map(SECRET => ({ SECRET })),
  )
  const rows = await db.selectFrom('config_version').select(['id', 'number']).orderBy('number').execute()
  assert.deepEqual(
    rows.map(({ number }) => number),
    [1, 2, 3],
  )
  assert.equal(await store.latest(projectId), rows.at(-1)?.id)
})
