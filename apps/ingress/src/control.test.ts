import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { instances, testApp, testIngress } from './testing.ts'

/** The server's side of the wake-up order. */
async function wakeServer(t: TestContext, socket: string, onWake: (deploymentId: string) => number) {
  const server = createServer((request, response) => {
    assert.equal(`${request.method} ${request.url}`, 'POST /wake')
    void text(request).then(body => {
      response.writeHead(onWake((JSON.parse(body) as { deploymentId: string }).deploymentId)).end()
    })
  })
  server.listen(socket)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
}

test('holds requests to a sleeping deployment until it has woken, and asks for it once', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (request, response) => void request.pipe(response))
  const woken: string[] = []
  await ingress.route({ kind: 'sleeping' })
  const early = ingress.get('/early')
  // The server comes only now: it was restarting.
  await delay(150)
  await wakeServer(t, ingress.config.serverSocket ?? '', id => {
    woken.push(id)
    setTimeout(() => void ingress.route(instances(app)), 50)
    return 202
  })
  const later = await Promise.all(Array.from({ length: 20 }, () => ingress.get('/')))
  assert.ok(later.every(({ status }) => status === 200))
  assert.equal((await early).status, 200)
  assert.equal(woken.length, 1)
})

test('gives up waiting with 503, refuses more guests than there is room for, forgets clients that leave', async t => {
  const ingress = await testIngress(t, { limits: { heldRequests: 3, wakeTimeoutMs: 300 } })
  let asked = 0
  await wakeServer(t, ingress.config.serverSocket ?? '', () => {
    asked++
    return 202
  })
  await ingress.route({ kind: 'sleeping' })
  const answers = await Promise.all(Array.from({ length: 5 }, () => ingress.get('/')))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [503, 503, 503, 503, 503],
  )
  assert.ok(answers.every(({ headers }) => headers['retry-after'] === '5'))
  assert.equal(answers.filter(({ text }) => text.includes('Too many')).length, 2)
  assert.equal(asked, 1)
  await ingress.route({ kind: 'unavailable', code: 'out_of_disk', message: 'The disk is full.', retryAfterS: 60 })
  const unavailable = await ingress.get('/')
  assert.equal(unavailable.status, 503)
  assert.equal(unavailable.headers['retry-after'], '60')
  assert.equal((JSON.parse(unavailable.text) as { code: string }).code, 'out_of_disk')
  assert.equal((await ingress.counters()).responses5xx, 6)
})

test('a wake-up that the server refuses ends the waiting', async t => {
  const ingress = await testIngress(t)
  await wakeServer(t, ingress.config.serverSocket ?? '', () => 404)
  await ingress.route({ kind: 'sleeping' })
  assert.equal((await ingress.get('/')).status, 503)
})

test('errors are pages for browsers and problems for everybody else, with nothing of the request unescaped', async t => {
  const ingress = await testIngress(t)
  const json = await ingress.get('/<script>', { host: 'nobody.localhost' })
  assert.equal(json.status, 404)
  assert.equal(json.headers['content-type'], 'application/problem+json')
  const problem = JSON.parse(json.text) as { code: string; detail: string; requestId: string }
  assert.equal(problem.code, 'not_found')
  assert.match(problem.detail, /nobody\.localhost/)
  assert.equal(problem.requestId, json.headers['x-request-id'])
  const html = await ingress.get('/', { host: 'nobody.localhost', accept: 'text/html,*/*' })
  assert.match(html.text, /<h1>There is no application at this address<\/h1>/)
  await ingress.route({ kind: 'unavailable', code: 'x', message: '<img src=x onerror=alert(1)>', retryAfterS: 1 })
  const escaped = await ingress.get('/', { accept: 'text/html' })
  assert.match(escaped.text, /&lt;img src=x/)
  assert.doesNotMatch(escaped.text, /<img/)
  assert.equal((await ingress.get('/', { host: '<b>' })).status, 400)
})

test('an older table is refused, and a bad one changes nothing', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (_, response) => response.end('ok'))
  await ingress.route(instances(app))
  assert.equal((await ingress.order('PUT', '/routes', { version: 0, routes: [] })).status, 409)
  const bad = await ingress.order('PUT', '/routes', { version: 9, routes: [{ hosts: 'x' }] })
  assert.equal(bad.status, 400)
  assert.ok((bad.body as { errors: unknown[] }).errors.length > 0)
  assert.equal((await ingress.order('POST', '/drain', { instanceId: 1 })).status, 400)
  assert.equal((await ingress.order('GET', '/nothing')).status, 404)
  assert.equal((await ingress.get('/')).text, 'ok')
})

test('serves its last table after a restart without the server, and starts with a damaged one', async t => {
  const ingress = await testIngress(t)
  const app = await testApp(t, (_, response) => response.end('still here'))
  await ingress.route(instances(app))
  await ingress.restart()
  assert.equal((await ingress.get('/')).text, 'still here')
  assert.equal((await ingress.order('PUT', '/routes', { version: 0, routes: [] })).status, 409)
  await writeFile(path.join(ingress.config.dataDirectory, 'routes.json'), '{"version":')
  await ingress.restart()
  assert.equal((await ingress.get('/')).status, 404)
})

test('ends within its time: requests are finished, then cut', async t => {
  const ingress = await testIngress(t, { limits: { shutdownMs: 300 } })
  const begun = Promise.withResolvers<void>()
  const app = await testApp(t, (request, response) => {
    if (request.url === '/finished') setTimeout(() => response.end('finished'), 50)
    else begun.resolve()
  })
  await ingress.route(instances(app))
  const finished = ingress.get('/finished')
  const cut = ingress.get('/never')
  await begun.promise
  const began = performance.now()
  await ingress.stop()
  assert.ok(performance.now() - began < 2000)
  assert.equal((await finished).text, 'finished')
  assert.equal((await cut).status, 502)
})
