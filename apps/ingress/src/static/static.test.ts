import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import test from 'node:test'
import { brotliDecompressSync } from 'node:zlib'
import { newId } from '@coderunner/contract'
import { request } from 'undici'
import { type TestIngress, testIngress } from '../testing.ts'

const hashOf = (content: Buffer) => createHash('sha256').update(content).digest('hex')

async function publish(
  ingress: TestIngress,
  siteId: string,
  files: Record<string, string | Buffer>,
  indexFallback = false,
) {
  const contents = new Map(Object.entries(files).map(([file, content]) => [file, Buffer.from(content)]))
  const site = {
    indexFallback,
    files: [...contents].map(([path, content]) => ({ path, hash: hashOf(content), size: content.length })),
  }
  const first = await ingress.order('PUT', `/sites/${siteId}`, site)
  if (first.status === 204) return 0
  assert.equal(first.status, 200, JSON.stringify(first.body))
  const { missing } = first.body as { missing: string[] }
  for (const content of contents.values())
    if (missing.includes(hashOf(content)))
      assert.equal((await ingress.order('PUT', `/sites/${siteId}/blobs/${hashOf(content)}`, content)).status, 204)
  assert.equal((await ingress.order('PUT', `/sites/${siteId}`, site)).status, 204)
  return missing.length
}

const text = 'Some text that compresses well. '.repeat(200)
const files = {
  '/index.html': '<h1>home</h1>',
  '/about.html': '<h1>about</h1>',
  '/docs/index.html': '<h1>docs</h1>',
  '/docs/a b ü.txt': 'odd name',
  '/app.js': text,
  '/assets/index-BxY12_3k.js': 'hashed',
  '/big.bin': Buffer.alloc(600_000, 'abcdefghij'),
  '/.env': 'SECRET=1',
  '/.git/config': 'x',
  '/.well-known/thing': 'known',
  '/photo.png': 'png',
}

test('serves files, folders and short names by the rules of static sites', async t => {
  const ingress = await testIngress(t)
  const siteId = newId()
  await publish(ingress, siteId, files)
  await ingress.route({ kind: 'static', siteId })
  const get = (path: string, headers = {}) => ingress.get(path, headers)
  const home = await get('/')
  assert.equal(home.text, '<h1>home</h1>')
  assert.equal(home.headers['content-type'], 'text/html; charset=utf-8')
  assert.equal(home.headers['cache-control'], 'no-cache')
  assert.equal(home.headers['x-content-type-options'], 'nosniff')
  assert.equal((await get('/about?x=1')).text, '<h1>about</h1>')
  assert.equal((await get('/docs/')).text, '<h1>docs</h1>')
  const redirect = await get('/docs?q=1')
  assert.deepEqual([redirect.status, redirect.headers['location']], [301, '/docs/?q=1'])
  assert.equal((await get('/docs/a%20b%20%C3%BC.txt')).text, 'odd name')
  assert.match(String((await get('/assets/index-BxY12_3k.js')).headers['cache-control']), /immutable/)
  assert.equal((await get('/.well-known/thing')).text, 'known')
  for (const hidden of [
    '/.env',
    '/.git/config',
    '/docs/../.env',
    '/%2e%65nv',
    '/..%2f..%2fetc/passwd',
    '//docs',
    '/nothing',
    '/a%00b',
    '/assets/',
  ])
    assert.equal((await get(hidden)).status, 404, hidden)
  assert.equal((await get('/%zz')).status, 400)
  const post = await ingress.get('/', {}, 'POST')
  assert.deepEqual([post.status, post.headers['allow']], [405, 'GET, HEAD'])
})

test('revalidates, compresses, and answers ranges and HEAD', async t => {
  const ingress = await testIngress(t)
  const siteId = newId()
  await publish(ingress, siteId, files)
  await ingress.route({ kind: 'static', siteId })
  const plain = await ingress.get('/app.js')
  assert.equal(plain.text, text)
  assert.equal(plain.headers['vary'], 'Accept-Encoding')
  const cached = await ingress.get('/app.js', { 'if-none-match': `"x", W/${String(plain.headers['etag'])}` })
  assert.deepEqual([cached.status, cached.text], [304, ''])
  const raw = await request(`http://127.0.0.1:${ingress.port}/app.js`, {
    headers: { host: 'app.localhost', 'accept-encoding': 'gzip, br' },
  })
  assert.equal(raw.headers['content-encoding'], 'br')
  assert.notEqual(raw.headers['etag'], plain.headers['etag'])
  assert.equal(brotliDecompressSync(Buffer.from(await raw.body.arrayBuffer())).toString(), text)
  const noBrotli = await ingress.get('/app.js', { 'accept-encoding': 'br;q=0, gzip' }, 'HEAD')
  assert.equal(noBrotli.headers['content-encoding'], 'gzip')
  assert.equal((await ingress.get('/photo.png', { 'accept-encoding': 'br' })).headers['content-encoding'], undefined)
  const range = async (header: string, more = {}) => {
    const { status, text, headers } = await ingress.get('/big.bin', { range: header, ...more })
    return [status, status === 206 ? text.slice(0, 12) : text.length, headers['content-range']]
  }
  assert.deepEqual(await range('bytes=10-14'), [206, 'abcde', 'bytes 10-14/600000'])
  assert.deepEqual(await range('bytes=599998-'), [206, 'ij', 'bytes 599998-599999/600000'])
  assert.deepEqual(await range('bytes=-3'), [206, 'hij', 'bytes 599997-599999/600000'])
  assert.deepEqual(await range('bytes=600000-'), [416, 0, 'bytes */600000'])
  assert.deepEqual(await range('bytes=0-1,4-5'), [200, 600_000, undefined])
  assert.deepEqual(await range('bytes=0-1', { 'if-range': '"other"' }), [200, 600_000, undefined])
  const head = await ingress.get('/big.bin', {}, 'HEAD')
  assert.deepEqual([head.headers['content-length'], head.text], ['600000', ''])
})

test('single-page applications get their index, missing assets stay missing, 404.html is used', async t => {
  const ingress = await testIngress(t)
  const siteId = newId()
  await publish(ingress, siteId, { '/index.html': 'spa', '/app.js': 'x' }, true)
  await ingress.route({ kind: 'static', siteId })
  assert.equal((await ingress.get('/users/john.doe')).text, 'spa')
  assert.equal((await ingress.get('/assets/gone.js')).status, 404)
  await publish(ingress, siteId, { '/index.html': 'site', '/404.html': 'my own 404' })
  const missing = await ingress.get('/nope')
  assert.deepEqual([missing.status, missing.text], [404, 'my own 404'])
})

test('keeps each content once, checks it, and deletes it with the last site that has it', async t => {
  const ingress = await testIngress(t)
  const [one, two] = [newId(), newId()]
  assert.equal(await publish(ingress, one, { '/index.html': 'shared', '/a.js': text }), 2)
  assert.equal(await publish(ingress, two, { '/index.html': 'shared' }), 0)
  const bad = await ingress.order('PUT', `/sites/${one}/blobs/${'0'.repeat(64)}`, Buffer.from('x'))
  assert.equal(bad.status, 400)
  const escape = await ingress.order('PUT', `/sites/${one}`, {
    indexFallback: false,
    files: [{ path: '/../x', hash: '0'.repeat(64), size: 1 }],
  })
  assert.equal(escape.status, 400)
  const blobs = () => readdir(path.join(ingress.config.dataDirectory, 'blobs'))
  assert.equal((await blobs()).length, 4)
  assert.equal((await ingress.order('GET', `/sites/${one}`)).status, 204)
  assert.equal((await ingress.order('DELETE', `/sites/${one}`)).status, 204)
  assert.equal((await ingress.order('GET', `/sites/${one}`)).status, 404)
  assert.equal((await blobs()).length, 1)
  await ingress.route({ kind: 'static', siteId: two })
  await ingress.restart()
  assert.equal((await ingress.get('/')).text, 'shared')
  await ingress.order('DELETE', `/sites/${two}`)
  assert.deepEqual(await blobs(), [])
  assert.equal((await ingress.get('/')).status, 503)
  assert.deepEqual(await readdir(path.join(ingress.config.dataDirectory, 'incoming')), [])
})
