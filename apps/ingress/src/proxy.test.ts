import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { Readable } from 'node:stream'
import test from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Client, request } from 'undici'
import { appRoute, instances, testApp, testIngress } from './testing.ts'

test('passes requests on with Host unchanged, its own forwarding headers and no hop-by-hop ones', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => response.end(JSON.stringify(request.headers)))
  await ingress.route(instances(app))
  const { headers, text } = await ingress.get('/', {
    host: 'App.Localhost.:3080',
    'x-forwarded-for': '6.6.6.6',
    'x-forwarded-host': 'evil',
    'x-forwarded-prefix': '/evil',
    forwarded: 'for=6.6.6.6',
    'x-real-ip': '6.6.6.6',
    'x-request-id': 'my-request-0001',
    cookie: 'a=b',
    te: 'trailers',
    'x-custom': 'ü'.normalize(),
  })
  const seen = JSON.parse(text) as Record<string, string>
  assert.equal(seen['host'], 'App.Localhost.:3080')
  assert.equal(seen['x-forwarded-for'], '127.0.0.1')
  assert.equal(seen['x-forwarded-host'], 'App.Localhost.:3080')
  assert.equal(seen['x-forwarded-port'], '3080')
  assert.equal(seen['x-forwarded-proto'], 'http')
  assert.equal(seen['x-request-id'], 'my-request-0001')
  assert.equal(seen['cookie'], 'a=b')
  for (const name of ['forwarded', 'x-forwarded-prefix', 'x-real-ip', 'te']) assert.equal(seen[name], undefined, name)
  assert.equal(headers['x-request-id'], 'my-request-0001')
})

test('a header named by Connection goes no further, but Host and Cookie cannot be taken away so', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => response.end(JSON.stringify(request.headers)))
  await ingress.route(instances(app))
  const answer = await ingress.raw(
    'GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close, x-secret, cookie\r\nX-Secret: 1\r\nCookie: a=b\r\n\r\n',
  )
  assert.match(answer, /"cookie":"a=b"/)
  assert.doesNotMatch(answer, /x-secret/)
})

test('believes X-Forwarded-* of trusted proxies only', async t => {
  const ingress = await testIngress(t, { env: { CODERUNNER_TRUSTED_PROXIES: '127.0.0.0/8, ::1' } })
  const app = await testApp(t, (request, response) => response.end(JSON.stringify(request.headers)))
  await ingress.route(instances(app))
  const { text } = await ingress.get('/', {
    'x-forwarded-for': '1.2.3.4',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'shop.example',
  })
  const seen = JSON.parse(text) as Record<string, string>
  assert.equal(seen['x-forwarded-for'], '1.2.3.4, 127.0.0.1')
  assert.equal(seen['x-forwarded-proto'], 'https')
  assert.equal(seen['x-forwarded-host'], 'shop.example')
  assert.equal(seen['x-forwarded-port'], '443')
})

test('streams big bodies both ways, and reads no faster than the other side takes', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    request.pipe(response)
  })
  await ingress.route(instances(app))
  const block = randomBytes(1024 * 1024)
  const sent = createHash('sha256')
  const upload = Readable.from(
    (function* () {
      for (let n = 0; n < 48; n++) {
        sent.update(block)
        yield block
      }
    })(),
  )
  const answer = await request(`http://127.0.0.1:${ingress.port}/`, {
    method: 'POST',
    headers: { host: 'app.localhost' },
    body: upload,
  })
  const received = createHash('sha256')
  for await (const chunk of answer.body) received.update(chunk)
  assert.equal(received.digest('hex'), sent.digest('hex'))
  const counters = await ingress.counters()
  assert.equal(counters.bytesIn, 48 * 1024 * 1024)
  assert.equal(counters.bytesOut, 48 * 1024 * 1024)

  // A client that does not read: the application is stopped long before it has written everything.
  let written = 0
  const endless = await testApp(t, (_, response) => {
    const more = () => {
      while (written < 200 * 1024 * 1024) {
        written += block.length
        if (response.write(block)) continue
        response.once('drain', more)
        return
      }
    }
    more()
  })
  await ingress.route(instances(endless))
  const lazy = connect(ingress.port, '127.0.0.1')
  lazy.write('GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n')
  await once(lazy, 'readable')
  let before = -1
  while (before !== written) {
    before = written
    await delay(100)
  }
  assert.ok(written < 40 * 1024 * 1024, `${written} bytes were taken for a client that reads nothing`)
  const [upstream] = endless.connections
  const given = new Promise(resolve => upstream?.on('error', () => {}).on('close', resolve))
  lazy.destroy()
  await given
})

test('passes on early heads, trailers, informational answers and HEAD', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => {
    if (request.method === 'HEAD') {
      response.writeHead(200, { 'content-length': 1234 }).end()
      return
    }
    response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    response.writeHead(200, { trailer: 'x-sum', 'set-cookie': ['a=1', 'b=2'] })
    response.flushHeaders()
    request.on('end', () => {
      response.write('body')
      response.addTrailers({ 'x-sum': '42' })
      response.end()
    })
    request.resume()
  })
  await ingress.route(instances(app))
  const outgoing = httpRequest({
    port: ingress.port,
    method: 'POST',
    headers: { host: 'app.localhost', expect: '100-continue' },
  })
  const information: number[] = []
  outgoing.on('information', info => information.push(info.statusCode))
  const continued = once(outgoing, 'continue')
  outgoing.flushHeaders()
  await continued
  outgoing.write('first')
  // The head arrives while the request's body is still going on.
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  outgoing.end('later')
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  assert.equal(text, 'body')
  assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2'])
  assert.deepEqual(answer.trailers, { 'x-sum': '42' })
  assert.deepEqual(information, [100, 103])
  const head = await ingress.get('/', {}, 'HEAD')
  assert.equal(head.headers['content-length'], '1234')
})

test('uses kept-alive connections again on both sides', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => response.end(`${request.method} ${request.url}`))
  await ingress.route(instances(app))
  const client = new Client(`http://127.0.0.1:${ingress.port}`)
  t.after(() => client.destroy())
  let connects = 0
  client.on('connect', () => connects++)
  for (const method of ['GET', 'HEAD', 'POST', 'GET', 'DELETE', 'GET'] as const) {
    const answer = await client.request({ path: '/', method, reset: false, headers: { host: 'app.localhost' } })
    assert.equal(answer.statusCode, 200)
    await answer.body.dump()
  }
  assert.deepEqual([connects, app.accepted], [1, 1])
  // Requests that come without waiting for the answers before are answered in order.
  const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: app.localhost\r\n${more}\r\n`
  const answers = await ingress.raw(get('/1') + get('/2') + get('/3', 'Connection: close\r\n'))
  assert.deepEqual(answers.match(/GET \/\d/g), ['GET /1', 'GET /2', 'GET /3'])
})

test('refuses smuggling and what is not HTTP', async t => {
  const ingress = await testIngress(t)
  const paths: string[] = []
  const app = await testApp(t, (request, response) => {
    paths.push(request.url ?? '')
    request.resume()
    response.end('ok')
  })
  await ingress.route(instances(app))
  const smuggled = '0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.localhost\r\n\r\n'
  const start = 'POST / HTTP/1.1\r\nHost: app.localhost\r\n'
  const attempts = [
    `${start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${smuggled}`,
    `${start}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n${smuggled}`,
    `${start}Content-Length: 5\r\nContent-Length: 6\r\n\r\n${smuggled}`,
    `${start}Content-Length: +5\r\n\r\n${smuggled}`,
    `${start}Content-Length: 5, 5\r\n\r\n${smuggled}`,
    `${start}Content-Length: 0x5\r\n\r\n${smuggled}`,
    `${start}Transfer-Encoding: xchunked\r\n\r\n${smuggled}`,
    `${start}Transfer-Encoding: chunked, identity\r\n\r\n${smuggled}`,
    `${start}Transfer-Encoding : chunked\r\n\r\n${smuggled}`,
    `${start}Transfer-Encoding: chunked\r\n\r\nxyz\r\n${smuggled}`,
    `${start}Transfer-Encoding: chunked\r\n\r\n5 \r\nabcde\r\n${smuggled}`,
    `${start}X: a\nTransfer-Encoding: chunked\r\n\r\n${smuggled}`,
    `${start}X\0Y: a\r\n\r\n`,
    'GET / HTTP/1.1\r\nHost: app.localhost\r\nHost: app.localhost\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: app.localhost/x\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: app localhost\r\n\r\n',
    'GET http://user@app.localhost/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n',
    'GET ftp://app.localhost/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n',
    'GET http:///x HTTP/1.1\r\nHost: app.localhost\r\n\r\n',
    'GET * HTTP/1.1\r\nHost: app.localhost\r\n\r\n',
    'CONNECT app.localhost:22 HTTP/1.1\r\nHost: app.localhost\r\n\r\n',
    'TRACE / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n',
    `GET / HTTP/1.1\r\nHost: app.localhost\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`,
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  ]
  for (const attempt of attempts) {
    const answer = await ingress.raw(attempt.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
    assert.doesNotMatch(answer, /HTTP\/1\.1 2/, attempt.slice(0, 120))
    assert.match(answer, /^(HTTP\/1\.1 (400|405|431) |$)/, attempt.slice(0, 120))
  }
  assert.ok(!paths.includes('/smuggled'), paths.join(' '))
})

test('h2c and other upgrades are no way past the rules', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => response.end(JSON.stringify(request.headers)))
  await ingress.route(instances(app))
  const answer = await ingress.raw(
    'GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
  )
  assert.match(answer, /^HTTP\/1\.1 200/)
  assert.doesNotMatch(answer, /h2c|http2-settings|AAMA/)
})

test('an upstream that answers early or breaks off leaves the client with an answer', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => {
    if (request.url === '/early') response.writeHead(413).end('too much')
    else request.socket.destroy()
  })
  await ingress.route(instances(app))
  const post = (path: string) =>
    request(`http://127.0.0.1:${ingress.port}${path}`, {
      method: 'POST',
      headers: { host: 'app.localhost' },
      body: randomBytes(4 * 1024 * 1024),
    })
  const early = await post('/early')
  assert.equal(early.statusCode, 413)
  assert.equal(await early.body.text(), 'too much')
  const broken = await post('/broken')
  assert.equal(broken.statusCode, 502)
  assert.equal(((await broken.body.json()) as { code: string }).code, 'never_answered')
  const half = await testApp(t, (request, response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('only this')
    setImmediate(() => request.socket.destroy())
  })
  await ingress.route(instances(half))
  await assert.rejects(ingress.get('/'), 'a cut-off answer looks like one')
})

test('a restart of the application between two requests loses nothing', async t => {
  const ingress = await testIngress(t)
  const first = await testApp(t, (_, response) => response.end('one'))
  await ingress.route(instances(first))
  for (let round = 0; round < 20; round++) {
    assert.equal((await ingress.get('/')).text, 'one')
    // The connections die without a word.
    for (const socket of first.connections) socket.resetAndDestroy()
    assert.equal((await ingress.get('/')).text, 'one')
  }
  await first.stop()
  await testApp(t, (_, response) => response.end('two'), first.port)
  assert.equal((await ingress.get('/')).text, 'two')
})

test('goes to the next upstream when one refuses, whatever the method, and says so when none is left', async t => {
  const ingress = await testIngress(t)
  const good = await testApp(t, (request, response) => void request.pipe(response))
  const gone = await testApp(t, (_, response) => response.end())
  await gone.stop()
  await ingress.route(instances(gone, good))
  for (let n = 0; n < 6; n++) {
    const answer = await request(`http://127.0.0.1:${ingress.port}/`, {
      method: 'POST',
      headers: { host: 'app.localhost' },
      body: `body ${n}`,
    })
    assert.equal(await answer.body.text(), `body ${n}`)
  }
  await ingress.route(instances(gone))
  const none = await ingress.get('/')
  assert.equal(none.status, 502)
  assert.equal(none.headers['retry-after'], '5')
})

test('switching routes and replacing instances under load fails no request', async t => {
  const ingress = await testIngress(t)
  const handler = (name: string) => (_: unknown, response: { end(text: string): void }) =>
    void setTimeout(() => response.end(name), 2)
  let current = await testApp(t, handler('0'))
  await ingress.route(instances(current))
  const seen = new Set<string>()
  let answered = 0
  const over = new AbortController()
  const client = async () => {
    while (!over.signal.aborted) {
      const answer = await ingress.get('/')
      assert.equal(answer.status, 200, answer.text)
      seen.add(answer.text)
      answered++
    }
  }
  const clients = Array.from({ length: 16 }, client)
  for (let n = 1; n <= 10; n++) {
    const next = await testApp(t, handler(String(n)))
    await ingress.route(instances(next))
    const drain = await ingress.order('POST', '/drain', { instanceId: current.instanceId, timeoutMs: 5000 })
    assert.deepEqual(drain.body, { drained: true })
    await current.stop()
    current = next
    await delay(20)
  }
  over.abort()
  await Promise.all(clients)
  assert.ok(answered > 200, String(answered))
  assert.ok(seen.has('10'))
})

test('drain waits for what is in flight, and cuts it when the time is over', async t => {
  const ingress = await testIngress(t)
  const begun: PromiseWithResolvers<() => void>[] = [Promise.withResolvers(), Promise.withResolvers()]
  let requests = 0
  const app = await testApp(t, (_, response) => {
    response.write('begun ')
    begun[requests++]?.resolve(() => response.end('done'))
  })
  await ingress.route(instances(app))
  const slow = ingress.get('/')
  const release = await begun[0]?.promise
  const drain = ingress.order('POST', '/drain', { instanceId: app.instanceId, timeoutMs: 5000 })
  await delay(20)
  release?.()
  assert.equal((await slow).text, 'begun done')
  assert.deepEqual((await drain).body, { drained: true })

  const cut = assert.rejects(ingress.get('/'))
  await begun[1]?.promise
  // Also when the table has forgotten the instance.
  await ingress.route([])
  const late = await ingress.order('POST', '/drain', { instanceId: app.instanceId, timeoutMs: 50 })
  assert.deepEqual(late.body, { drained: false })
  await cut
  assert.deepEqual((await ingress.order('POST', '/drain', { instanceId: 'unknown', timeoutMs: 0 })).body, {
    drained: true,
  })
})

test('balances over instances, counts per deployment, serves routes by host and by port', async t => {
  const ingress = await testIngress(t)
  const apps = await Promise.all(['a', 'b'].map(name => testApp(t, (_, response) => response.end(name))))
  const other = await testApp(t, (_, response) => response.writeHead(404).end('other'))
  const free = await testApp(t, () => {})
  await free.stop()
  await ingress.route([
    appRoute(instances(...apps), { hosts: ['app.localhost', 'app-1.localhost'] }),
    appRoute(instances(other), { hosts: [], port: free.port, project: 'other' }),
  ])
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) => ingress.get('/', { host: n % 2 === 0 ? 'app.localhost' : 'app-1.localhost' })),
  )
  assert.equal(answers.filter(({ text }) => text === 'a').length, 5)
  const byPort = await request(`http://127.0.0.1:${free.port}/`, { headers: { host: '192.0.2.1:99' } })
  assert.equal(await byPort.body.text(), 'other')
  const counters = await ingress.counters()
  assert.deepEqual([counters.project, counters.requests], ['app', 11])
  assert.equal(counters.responses2xx, 10)
  assert.equal(counters.responses4xx, 1)
  await ingress.route([])
  await assert.rejects(request(`http://127.0.0.1:${free.port}/`), 'the port is closed with its route')
  assert.equal((await ingress.counters()).activeRequests, 0)
})

test('the session cookie of the dashboard neither reaches applications nor is set by them', async t => {
  const ingress = await testIngress(t)
  const set = [
    'coderunner=evil; Path=/',
    '__Host-coderunner=evil; Secure; Path=/',
    ' coderunner =evil',
    '=coderunner=evil',
    'coderunner',
    'coderunner2=fine',
    'a=coderunner=fine',
  ]
  const app = await testApp(t, (request, response) => {
    response.writeHead(200, { 'set-cookie': set, trailer: 'set-cookie' })
    response.write(JSON.stringify(request.headers.cookie ?? null))
    response.addTrailers([['Set-Cookie', 'coderunner=evil']])
    response.end()
  })
  app.server.on('upgrade', (request, socket) => {
    const cookies = set.map(cookie => `Set-Cookie: ${cookie}\r\n`).join('')
    socket.end(`HTTP/1.1 101 Switching Protocols\r\nX-Cookie: ${request.headers.cookie}\r\n${cookies}\r\n`)
  })
  await ingress.route(instances(app))
  const seen = async (cookie: string) => JSON.parse((await ingress.get('/', { cookie })).text) as string | null
  assert.equal(await seen('a=1; coderunner=secret; b=2'), 'a=1; b=2')
  assert.equal(await seen('coderunner=secret;__Host-coderunner=secret'), null)
  assert.equal(await seen('coderunner=secret; coderunner2=mine'), 'coderunner2=mine')
  assert.equal(await seen('x=coderunner'), 'x=coderunner')
  const several =
    'GET / HTTP/1.1\r\nHost: app.localhost\r\nCookie: coderunner=secret\r\nCOOKIE: a=1; coderunner=secret\r\n'
  const raw = await ingress.raw(`${several}Connection: close\r\n\r\n`)
  assert.match(raw, /"a=1"/)
  assert.doesNotMatch(raw, /secret|evil/)
  const kept = ['coderunner2=fine', 'a=coderunner=fine']
  assert.deepEqual((await ingress.get('/')).headers['set-cookie'], kept)
  const upgraded = await ingress.raw(`${several}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  assert.match(upgraded, /^HTTP\/1\.1 101/)
  assert.match(upgraded, /X-Cookie: a=1\r\n/)
  assert.doesNotMatch(upgraded, /secret|evil/)
  assert.deepEqual(upgraded.match(/(?<=Set-Cookie: ).*/g), kept)
})

test('takes targets in absolute form by the host they name, and answers OPTIONS * itself', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => response.end(`${request.headers.host} ${request.url}`))
  await ingress.route(instances(app))
  const ask = (line: string, host = 'other.localhost') =>
    ingress.raw(`${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  assert.match(await ask('GET http://app.localhost:99/a?b=http://c'), /\r\n\r\n.*app\.localhost:99 \/a\?b=http:\/\/c/s)
  assert.match(await ask('GET HTTPS://App.localhost'), /App\.localhost \//)
  assert.match(await ask('GET http://app.localhost?q'), /app\.localhost \/\?q/)
  assert.match(await ask('GET http://nobody.localhost/', 'app.localhost'), /^HTTP\/1\.1 404/)
  for (const line of ['OPTIONS *', 'OPTIONS http://app.localhost']) {
    const answer = await ask(line, 'app.localhost')
    assert.match(answer, /^HTTP\/1\.1 204/, line)
    assert.match(answer, /allow: GET, HEAD/i, line)
  }
  assert.match(await ask('OPTIONS /x', 'app.localhost'), /app\.localhost \/x/)
})

test('the head of a request goes out before its body comes', async t => {
  const ingress = await testIngress(t)
  const { promise: arrived, resolve } = Promise.withResolvers<string | undefined>()
  const app = await testApp(t, (request, response) => {
    resolve(request.headers['transfer-encoding'] ?? request.headers['content-length'])
    request.pipe(response)
  })
  await ingress.route(instances(app))
  const client = connect(ingress.port, '127.0.0.1')
  client.write('POST / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\n')
  assert.equal(await arrived, '5')
  client.write('hello')
  let answer = ''
  for await (const chunk of client) answer += String(chunk)
  assert.match(answer, /hello/)
})

test('bad answers are told from good ones, and what comes too much goes to nobody', async t => {
  const ingress = await testIngress(t)
  const server = createTcpServer(socket => {
    socket.on('error', () => {})
    socket.on('data', data => {
      const [, path] = String(data).split(' ')
      if (path === '/bad') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab')
      else if (path === '/split') socket.write('HTTP/1.1 200 OK\r\nX-A: b\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n')
      else if (path === '/control') socket.write('HTTP/1.1 200 OK\r\nX-A: \u0001\r\nContent-Length: 0\r\n\r\n')
      else if (path === '/trailer')
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-A: \u0001\r\n\r\n')
      else if (path === '/more')
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nX-Evil: 1\r\n\r\n`)
      else if (path === '/close') socket.end('HTTP/1.0 200 OK\r\n\r\nuntil the end')
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  await ingress.route(instances({ instanceId: 'raw', port: (server.address() as AddressInfo).port }))
  assert.equal((await ingress.get('/bad')).status, 502)
  assert.equal((await ingress.get('/split')).status, 502)
  assert.equal((await ingress.get('/control')).status, 502)
  assert.equal((await ingress.get('/trailer')).text, 'a')
  for (let round = 0; round < 5; round++) {
    assert.equal((await ingress.get('/more')).text, 'good')
    assert.equal((await ingress.get('/x')).text, 'ok')
  }
  assert.equal((await ingress.get('/close')).text, 'until the end')
})

test('an application that does not answer in time is 504, a body that flows takes any time', async t => {
  const ingress = await testIngress(t, { limits: { answerTimeoutMs: 300 } })
  const app = await testApp(t, (request, response) => {
    if (request.url === '/never') return
    response.write('begin ')
    setTimeout(() => response.end('end'), 700)
  })
  await ingress.route(instances(app))
  assert.equal((await ingress.get('/never')).status, 504)
  assert.equal((await ingress.get('/slow')).text, 'begin end')
  assert.equal((await ingress.get('/slow')).text, 'begin end')
})
