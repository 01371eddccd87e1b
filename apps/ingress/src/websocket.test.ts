import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import test, { type TestContext } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { instances, testApp, testIngress } from './testing.ts'
import { FrameTracker } from './websocket-frames.ts'

async function echo(t: TestContext) {
  const app = await testApp(t, (_, response) => response.writeHead(401, { 'x-why': 'no' }).end('no'))
  const sockets = new WebSocketServer({ noServer: true })
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url === '/refused') {
      socket.end('HTTP/1.1 401 Unauthorized\r\nx-why: no\r\nContent-Length: 2\r\n\r\nno')
      return
    }
    sockets.handleUpgrade(request, socket, head, peer => {
      peer.send(`hello ${String(request.headers['x-forwarded-for'])} ${request.headers.host}`)
      peer.on('message', (data, isBinary) => peer.send(data as Buffer, { binary: isBinary }))
    })
  })
  return { app, sockets }
}

const open = (port: number, path = '/') =>
  new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { host: 'app.localhost' } })

test('joins WebSockets both ways, counted, and passes closes on', async t => {
  const ingress = await testIngress(t)
  const { app, sockets } = await echo(t)
  await ingress.route(instances(app))
  const client = open(ingress.port)
  const [hello] = (await once(client, 'message')) as [Buffer]
  assert.equal(hello.toString(), 'hello 127.0.0.1 app.localhost')
  const big = Buffer.alloc(3_000_000, 'x')
  client.send(big)
  const [back] = (await once(client, 'message')) as [Buffer]
  assert.ok(back.equals(big))
  const counters = await ingress.counters()
  assert.deepEqual([counters.activeWebSockets, counters.activeRequests, counters.requests], [1, 0, 1])
  assert.ok(counters.bytesIn > 3_000_000 && counters.bytesOut > 3_000_000)
  const [peer] = sockets.clients
  const closed = once(peer as WebSocket, 'close')
  client.close(4001, 'bye')
  assert.equal((await closed)[0], 4001)
  await ingress.order('POST', '/drain', { instanceId: app.instanceId, timeoutMs: 1000 })
  assert.equal((await ingress.counters()).activeWebSockets, 0)
})

test('a refused handshake is answered as the application answers it; an unknown host with 404', async t => {
  const ingress = await testIngress(t)
  const { app } = await echo(t)
  await ingress.route(instances(app))
  const refused = open(ingress.port, '/refused')
  refused.on('error', () => {})
  const [, answer] = await once(refused, 'unexpected-response')
  assert.equal(answer.statusCode, 401)
  assert.equal(answer.headers['x-why'], 'no')
  answer.resume()
  await ingress.route([])
  const unknown = open(ingress.port)
  unknown.on('error', () => {})
  const [, missing] = await once(unknown, 'unexpected-response')
  assert.equal(missing.statusCode, 404)
  missing.resume()
  await app.stop()
  await ingress.route(instances(app))
  const gone = open(ingress.port)
  gone.on('error', () => {})
  const [, bad] = await once(gone, 'unexpected-response')
  assert.equal(bad.statusCode, 502)
  bad.resume()
})

test('drain closes WebSockets with 1012 on both sides when the time is over', async t => {
  const ingress = await testIngress(t)
  const { app, sockets } = await echo(t)
  await ingress.route(instances(app))
  const client = open(ingress.port)
  await once(client, 'message')
  const [peer] = sockets.clients
  const both = Promise.all([once(client, 'close'), once(peer as WebSocket, 'close')])
  const { body } = await ingress.order('POST', '/drain', { instanceId: app.instanceId, timeoutMs: 20 })
  assert.deepEqual(body, { drained: false })
  assert.deepEqual(
    (await both).map(([code]) => code),
    [1012, 1012],
  )
})

test('the close frame of a drain never stands within another frame', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, () => {})
  let finish: (() => void) | undefined
  app.server.on('upgrade', (_, socket) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    // A frame of 10 bytes, of which the end comes later together with another frame.
    socket.write(Buffer.from([0x82, 10, 1, 2, 3, 4]))
    finish = () => socket.write(Buffer.from([5, 6, 7, 8, 9, 10, 0x82, 1, 99]))
  })
  await ingress.route(instances(app))
  const client = connect(ingress.port, '127.0.0.1')
  let received = Buffer.alloc(0)
  client.on('data', chunk => (received = Buffer.concat([received, chunk])))
  client.write('GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  while (!received.includes(Buffer.from([1, 2, 3, 4]))) await once(client, 'data')
  const drained = ingress.order('POST', '/drain', { instanceId: app.instanceId, timeoutMs: 1 })
  setTimeout(() => finish?.(), 100)
  await once(client, 'end')
  client.end()
  await drained
  const frames = received.subarray(received.indexOf('\r\n\r\n') + 4)
  assert.deepEqual([...frames], [0x82, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0x88, 2, 0x03, 0xf4])
})

test('frames are followed however they are cut into chunks', () => {
  const frames = Buffer.concat([
    Buffer.from([0x81, 0x02, 1, 2]),
    Buffer.from([0x82, 0x80 | 3, 9, 9, 9, 9, 1, 2, 3]),
    Buffer.concat([Buffer.from([0x82, 126, 1, 0]), Buffer.alloc(256)]),
    Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65_536)]),
    Buffer.from([0x89, 0]),
  ])
  for (const size of [1, 3, 7, 1000, frames.length]) {
    const tracker = new FrameTracker()
    let boundaries = 0
    for (let at = 0; at < frames.length; at += size) {
      for (let chunk = frames.subarray(at, at + size); chunk.length > 0; ) {
        chunk = chunk.subarray(tracker.advance(chunk, true))
        if (tracker.atBoundary) boundaries++
      }
    }
    assert.equal(boundaries, 5, `chunks of ${size}`)
  }
})
