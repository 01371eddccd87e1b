import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import test from 'node:test'
import { brotliDecompressSync } from 'node:zlib'
import { newId, type StaticSite } from '@coderunner/contract'
import { request } from 'undici'
import { type TestIngress, testIngress } from '../testing.ts'

const hashOf = (content: Buffer) => createHash('sha256').update(content).digest('hex')

async function publish(
  ingress: TestIngress,
  siteId: string,
  files: Record<string, string | Buffer>,
  options: Partial<Omit<StaticSite, 'files'>> = {},
) {
  const contents = new Map(Object.entries(files).map(([file, content]) => [file, Buffer.from(content)]))
  const site = {
    indexFallback: false,
    ...options,
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
  await publish(ingress, siteId, { '/index.html': 'spa', '/app.js': 'x' }, { indexFallback: true })
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

test('redirects and rewrites by the rules of the site', async t => {
  const ingress = await testIngress(t)
  const siteId = newId()
  const rule = (from: string, to: string, status: 200 | 301 | 302 | 404 = 301, force = false) => ({
    from,
    to,
    status,
    force,
  })
  const redirects = [
    rule('/old', '/about', 301),
    rule('/about', '/shadowed'),
    rule('/forced', '/docs/', 302, true),
    rule('/blog/:year/:slug', '/news/:slug?y=:year'),
    rule('/splat/*', '/:splat', 302),
    rule('/away/*', 'https://example.com/x/:splat'),
    rule('/api/*', '/api.json', 200),
    rule('/page/:name', '/:name', 200),
    rule('/lost/*', '/lost.html', 404),
    rule('/*.php', '/about', 302),
    { ...rule('/shop', '/item/:id'), query: { id: ':id' } },
    rule('/loop/*', '/loop/:splat', 301, true),
    rule('/ü/*', '/%C3%B6/:splat'),
    rule('/nofile', '/nowhere', 200),
  ]
  await publish(
    ingress,
    siteId,
    {
      '/index.html': 'home',
      '/about.html': 'about',
      '/docs/index.html': 'docs',
      '/forced.html': 'never seen',
      '/api.json': '{}',
      '/lost.html': 'lost',
      '/loop/x.html': 'x',
    },
    { redirects },
  )
  await ingress.route({ kind: 'static', siteId })
  const get = async (path: string) => {
    const { status, headers, text } = await ingress.get(path)
    return [status, headers['location'] ?? text]
  }
  assert.deepEqual(await get('/old?a=1'), [301, '/about?a=1'])
  assert.deepEqual(await get('/old/'), [301, '/about'])
  assert.deepEqual(await get('/about'), [200, 'about'])
  assert.deepEqual(await get('/about/?b'), [301, '/about?b'])
  assert.deepEqual(await get('/forced'), [302, '/docs/'])
  assert.deepEqual(await get('/blog/2020/a%20b'), [301, '/news/a%20b?y=2020'])
  assert.deepEqual(await get('/splat/x/y/'), [302, '/x/y/'])
  assert.deepEqual(await get('/splat'), [302, '/'])
  for (const evil of ['//evil.com', '/%2fevil.com', '/%5cevil.com', '%2f%2fevil.com/'])
    assert.match(String((await get(`/splat/${evil}`))[1]), /^\/(evil\.com|%5Cevil)/, evil)
  assert.deepEqual(await get('/away/%0d%0aX-Evil:1'), [301, 'https://example.com/x/%0D%0AX-Evil%3A1'])
  assert.deepEqual(await get('/api/users/1'), [200, '{}'])
  assert.deepEqual(await get('/page/about'), [200, 'about'])
  assert.equal((await get('/page/..%2f..%2fetc'))[0], 404)
  assert.deepEqual(await get('/lost/x'), [404, 'lost'])
  assert.deepEqual(await get('/a/b.php'), [302, '/about'])
  assert.deepEqual(await get('/shop?id=7%2F'), [301, '/item/7/'])
  assert.equal((await get('/shop'))[0], 404)
  assert.deepEqual(await get('/loop/x'), [200, 'x'])
  assert.deepEqual(await get('/%C3%BC/x'), [301, '/%C3%B6/x'])
  assert.equal((await get('/nofile'))[0], 404)
})

test('headers by the rules of the site, never those of the connection or of the dashboard', async t => {
  const ingress = await testIngress(t)
  const siteId = newId()
  const headers: StaticSite['headers'] = [
    {
      for: '/*',
      headers: [
        ['X-Frame-Options', 'DENY'],
        ['X-Multi', 'a'],
        ['Vary', 'X-Lang'],
      ],
    },
    {
      for: '/*.js',
      headers: [
        ['Cache-Control', 'max-age=60'],
        ['X-Multi', 'b'],
        ['X-Frame-Options', ''],
      ],
    },
    {
      for: '/c',
      headers: [
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['Set-Cookie', 'coderunner=evil'],
      ],
    },
    {
      for: '/c',
      headers: [
        ['Content-Length', '1'],
        ['Transfer-Encoding', 'chunked'],
        ['Content-Type', 'text/x'],
      ],
    },
  ]
  await publish(ingress, siteId, { '/a.js': text, '/c.html': 'c', '/404.html': 'no' }, { headers })
  await ingress.route({ kind: 'static', siteId })
  const script = await ingress.get('/a.js')
  assert.equal(script.headers['cache-control'], 'max-age=60')
  assert.equal(script.headers['x-multi'], 'a, b')
  assert.equal(script.headers['x-frame-options'], undefined)
  assert.equal(script.headers['vary'], 'Accept-Encoding, X-Lang')
  const cached = await ingress.get('/a.js', { 'if-none-match': String(script.headers['etag']) })
  assert.deepEqual([cached.status, cached.headers['cache-control']], [304, 'max-age=60'])
  const page = await ingress.get('/c')
  assert.deepEqual(page.headers['set-cookie'], ['a=1', 'b=2'])
  assert.deepEqual([page.text, page.headers['content-length'], page.headers['content-type']], ['c', '1', 'text/x'])
  assert.equal((await ingress.get('/nothing')).headers['x-frame-options'], 'DENY')
  // The control wire takes no header that could break an answer.
  for (const header of [
    ['X-A', 'b\r\nX-C: d'],
    ['X A', 'b'],
  ] as [string, string][]) {
    const site = { files: [], indexFallback: false, headers: [{ for: '/*', headers: [header] }] }
    assert.equal((await ingress.order('PUT', `/sites/${siteId}`, site)).status, 400)
  }
})

test('a thousand rules and hostile paths cost next to nothing', async t => {
  const ingress = await testIngress(t)
  const siteId = newId()
  const redirects = Array.from({ length: 1000 }, (_, n) => ({
    from: `/:a/:b/*x/${n}/:c/:d`,
    to: '/x',
    status: 301 as const,
    force: false,
  }))
  await publish(ingress, siteId, { '/index.html': 'home' }, { redirects })
  await ingress.route({ kind: 'static', siteId })
  await ingress.get('/warm')
  const began = performance.now()
  assert.equal((await ingress.get(`/${'ax/'.repeat(5000)}`)).status, 404)
  assert.ok(performance.now() - began < 1000, String(performance.now() - began))
})
