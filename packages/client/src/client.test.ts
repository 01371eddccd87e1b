/** How the client behaves when the network and the other side do not: against a bare HTTP server. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import { ApiError, createClient, ServerUnreachableError } from './index.ts'

const accepted = { deploymentId: 'd', operationId: 'o', projectId: 'p', url: 'http://x', deploymentUrl: 'http://y' }

async function listen(listener: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const server = createServer((request, response) => void listener(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    baseUrl,
    client: createClient({ baseUrl, token: 'secret' }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function answer(response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

const drop = (message: IncomingMessage) => message.socket.destroy()

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

test('a deploy whose connection drops is sent again with the same key', async () => {
  const seen: [string | undefined, string][] = []
  await using server = await listen(async (request, response) => {
    seen.push([request.headers['idempotency-key'] as string, await text(request)])
    if (seen.length === 1) drop(request)
    else if (seen.length === 2) {
      // Dropped within the answer: the deployment was made, and the key leads to the same answer again.
      response.writeHead(202, { 'content-length': '1000' })
      response.write('{"deploymentId"', () => drop(request))
    } else answer(response, accepted, 202)
  })
  assert.deepEqual(await server.client.deployments.deploy({ project: 'x', files: [] }), accepted)
  assert.equal(seen.length, 3)
  assert.match(seen[0]?.[0] ?? '', /^[a-z0-9]{20}$/)
  assert.deepEqual(seen[0], seen[1])
  assert.deepEqual(seen[0], seen[2])
  await server.client.deployments.deploy({ project: 'x', files: [] })
  assert.notEqual(seen[3]?.[0], seen[0]?.[0], 'another deploy has another key')
})

test('an archive is streamed after the options, and equal byte for byte when sent again', async () => {
  const bodies: Buffer[] = []
  await using server = await listen(async (request, response) => {
    bodies.push(await buffer(request))
    if (bodies.length === 1) drop(request)
    else answer(response, accepted, 202)
  })
  let opened = 0
  const archive = () => {
    opened++
    return new Blob(['one', 'two']).stream()
  }
  await server.client.deployments.deployArchive({ project: 'x', env: { A: 'ü' } }, archive)
  assert.equal(opened, 2)
  assert.deepEqual(bodies[0], bodies[1])
  const form = await new Response(bodies[1], { headers: { 'content-type': multipartType(bodies[1]) } }).formData()
  assert.deepEqual([...form.keys()], ['options', 'archive'])
  assert.equal(await (form.get('archive') as File).text(), 'onetwo')
  assert.deepEqual(JSON.parse(await textOf(form.get('options'))), { project: 'x', env: { A: 'ü' } })
})

function multipartType(body: Buffer | undefined): string {
  const boundary = /^--(\S+)/.exec(body?.toString('latin1') ?? '')?.[1]
  return `multipart/form-data; boundary=${boundary}`
}

async function textOf(value: Blob | string | null): Promise<string> {
  return value instanceof Blob ? value.text() : (value ?? '')
}

test('an error while the archive is read is told as it is and nothing is sent again', async () => {
  let requests = 0
  await using server = await listen(request => {
    requests++
    request.on('error', () => undefined).resume()
  })
  const broken = () =>
    new ReadableStream<Uint8Array>({
      pull() {
        throw new TypeError('a.txt has changed')
      },
    })
  await assert.rejects(server.client.deployments.deployArchive({ project: 'x' }, broken), /a\.txt has changed/)
  assert.ok(requests <= 1)
})

test('a log-in is never sent twice', async () => {
  let requests = 0
  await using server = await listen(request => {
    requests++
    drop(request)
  })
  const login = server.client.auth.login({ email: 'a@example.com', password: 'p' })
  await assert.rejects(login, ServerUnreachableError)
  assert.equal(requests, 1)
})

test('waits as long as the server asks and tries again', async () => {
  let requests = 0
  await using server = await listen((_request, response) => {
    requests++
    if (requests === 1) answer(response, { code: 'unavailable', detail: 'later' }, 503, { 'retry-after': '0' })
    else answer(response, { userId: 'u', email: 'e', administrator: false })
  })
  assert.equal((await server.client.auth.verify()).userId, 'u')
  assert.equal(requests, 2)
})

test('an error answer becomes an ApiError with the code, the detail and the request id', async () => {
  const errors = [{ path: '/options/port', message: 'must be a number' }]
  await using server = await listen((_request, response) =>
    answer(response, { code: 'invalid_request', detail: 'The port is wrong.', requestId: 'r1', errors }, 400),
  )
  await assert.rejects(server.client.auth.verify(), (error: ApiError) => {
    assert.ok(error instanceof ApiError)
    assert.deepEqual(
      [error.code, error.status, error.detail, error.requestId, error.errors],
      ['invalid_request', 400, 'The port is wrong.', 'r1', errors],
    )
    return true
  })
})

test('an error page of somebody else is said to be one', async () => {
  await using server = await listen((_request, response) => response.writeHead(502).end('<html>Bad gateway</html>'))
  await assert.rejects(server.client.auth.verify(), /answered 502 Bad Gateway, and not as CodeRunner does/)
  await using wiki = await listen((_request, response) => response.end('<html>Welcome</html>'))
  await assert.rejects(wiki.client.auth.verify(), /answered, and not as CodeRunner does/)
})

test('a server that is not there is named together with what starts it', async () => {
  const gone = await listen(() => undefined)
  await gone[Symbol.asyncDispose]()
  const began = Date.now()
  await assert.rejects(gone.client.auth.verify(), (error: Error) => {
    assert.ok(error instanceof ServerUnreachableError)
    assert.ok(error.message.includes(gone.baseUrl) && error.message.includes('npm start'), error.message)
    return true
  })
  assert.ok(Date.now() - began < 1000, 'no use in trying again')
})

test('a path before /api and the token are kept', async () => {
  let seen: unknown
  await using server = await listen((request, response) => {
    seen = [request.url, request.headers.authorization]
    answer(response, { userId: 'u' })
  })
  await createClient({ baseUrl: `${server.baseUrl}/cr/`, token: 't' }).auth.verify()
  assert.deepEqual(seen, ['/cr/api/auth/verify', 'Bearer t'])
})

test('pages of a list are fetched as they are needed', async () => {
  const urls: (string | undefined)[] = []
  await using server = await listen((request, response) => {
    urls.push(request.url)
    if (urls.length === 1) answer(response, { items: [{ id: 'a' }, { id: 'b' }], nextCursor: 'n/1' })
    else answer(response, { items: [{ id: 'c' }] })
  })
  const list = await all(server.client.deployments.list({ project: 'x' }))
  assert.deepEqual(
    list.map(({ id }) => id),
    ['a', 'b', 'c'],
  )
  assert.deepEqual(urls, ['/api/deployments?project=x', '/api/deployments?project=x&cursor=n%2F1'])
})

test('the output of a command comes through however the network cuts it', async () => {
  const lines = [
    JSON.stringify({ stream: 'stdout', data: Buffer.from('größe\n').toString('base64') }),
    '',
    JSON.stringify({ stream: 'stderr', data: Buffer.from([0, 255]).toString('base64') }),
    JSON.stringify({ exitCode: 7 }),
  ]
  await using server = await listen(async (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    for (const byte of Buffer.from(lines.join('\n'))) response.write(Buffer.from([byte]))
    response.end()
  })
  const events = await all(server.client.deployments.run('d', { command: ['true'] }))
  assert.deepEqual(events, [
    { stream: 'stdout', data: new Uint8Array(Buffer.from('größe\n')) },
    { stream: 'stderr', data: new Uint8Array([0, 255]) },
    { exitCode: 7 },
  ])
})

test('a command whose exit code never comes has failed', async () => {
  await using server = await listen((_request, response) => {
    response.writeHead(200).end(`${JSON.stringify({ stream: 'stdout', data: '' })}\n`)
  })
  await assert.rejects(all(server.client.deployments.run('d', { command: ['true'] })), /ended before the command did/)
})

test('a followed log goes on from where the connection dropped, without loss or repeats', async () => {
  const records = [1, 2, 3, 4, 5].map(cursor => ({ cursor, message: `line ${cursor}` }))
  let requests = 0
  await using server = await listen((request, response) => {
    requests++
    const cursor = Number(new URL(request.url ?? '', 'http://x').searchParams.get('cursor'))
    const next = records.filter(record => record.cursor > cursor).slice(0, 2)
    if (requests === 2) drop(request)
    else if (requests === 3) {
      // Half an answer: what it held must come again in whole.
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
      response.write('{"records":[{"cursor":3', () => drop(request))
    } else answer(response, { records: next, cursor: next.at(-1)?.cursor ?? cursor })
  })
  const stop = new AbortController()
  const seen: number[] = []
  let interruptions = 0
  const options = { cursor: 0, onInterruption: () => interruptions++ }
  const follow = async () => {
    for await (const page of server.client.logs.follow({ projectId: 'p' }, options, stop.signal)) {
      seen.push(...page.records.map(({ cursor }) => cursor))
      if (seen.length === 5) stop.abort(new Error('seen enough'))
    }
  }
  await assert.rejects(follow(), /seen enough/)
  assert.deepEqual(seen, [1, 2, 3, 4, 5])
  assert.ok(interruptions <= 1)
})

test('a followed log ends when the server refuses it', async () => {
  await using server = await listen((_request, response) =>
    answer(response, { code: 'not_found', detail: 'gone' }, 404),
  )
  await assert.rejects(all(server.client.logs.follow({ projectId: 'p' }, { cursor: 0 })), /gone/)
})

test('an aborted call ends at once with the reason', async () => {
  await using server = await listen(() => undefined)
  const stop = new AbortController()
  const client = createClient({ baseUrl: server.baseUrl, signal: stop.signal })
  setTimeout(() => stop.abort(new RangeError('enough')), 20)
  await assert.rejects(client.auth.verify(), RangeError)
})
