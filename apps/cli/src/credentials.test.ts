import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { CredentialStore } from './credentials.ts'

test('tokens are kept per server in a file for the owner alone', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'coderunner-credentials-'))
  t.after(() => rm(directory, { recursive: true }))
  const store = new CredentialStore(join(directory, 'coderunner', 'credentials.json'))
  assert.equal(await store.find('http://a'), undefined)
  await store.put('http://a', { kind: 'session', token: 'one', email: 'a@example.com' })
  await store.put('http://b', { kind: 'token', token: 'two' })
  await store.put('http://a', { kind: 'session', token: 'three' })
  assert.equal((await stat(store.file)).mode & 0o777, 0o600)
  assert.equal((await stat(dirname(store.file))).mode & 0o777, 0o700)
  assert.equal((await store.find('http://a'))?.token, 'three')
  await store.remove('http://a')
  assert.equal(await store.find('http://a'), undefined)
  assert.equal((await store.find('http://b'))?.token, 'two')
  assert.equal(await store.find('__proto__'), undefined)
  assert.deepEqual(await readdir(dirname(store.file)), ['credentials.json'], 'no drafts are left')
  await writeFile(store.file, 'secret{')
  await assert.rejects(
    store.find('http://b'),
    (error: Error) => /damaged/.test(error.message) && !/secret/.test(error.message),
  )
})
