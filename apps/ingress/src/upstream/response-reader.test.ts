import assert from 'node:assert/strict'
import test from 'node:test'
import { BadResponse } from './response-head.ts'
import { type ResponseHead, ResponseReader } from './response-reader.ts'

interface Read {
  heads: [number, string, string[]][]
  information: number[]
  body: string
  trailers: string[] | undefined
  reader: ResponseReader
}

/** What is read of these bytes when they come in chunks of a size. */
function read(text: string, size = text.length, method = 'GET'): Read {
  const reader = new ResponseReader()
  const seen: Read = { heads: [], information: [], body: '', trailers: undefined, reader }
  reader.expect(method, {
    onInformation: head => seen.information.push(head.status),
    onHead: ({ status, statusText, headers }: ResponseHead) => seen.heads.push([status, statusText, headers]),
    onData: bytes => (seen.body += bytes.toString('latin1')),
    onEnd: trailers => (seen.trailers = trailers),
  })
  const bytes = Buffer.from(text, 'latin1')
  // One buffer for all chunks, overwritten after each, as the connections do.
  const shared = Buffer.alloc(size)
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = shared.subarray(0, bytes.copy(shared, 0, at, at + size))
    reader.read(chunk)
    shared.fill('!')
  }
  return seen
}

const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: ü\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\n'
const long = 'x'.repeat(300)

for (const size of [1, 2, 3, 7, 64, 1000])
  test(`answers are the same in pieces of ${size} bytes`, () => {
    const plain = read(`HTTP/1.1 404 Not Found\r\nContent-Length: 300\r\nX-B:  b \r\nX-C:\r\n\r\n${long}`, size)
    assert.deepEqual(plain.heads, [[404, 'Not Found', ['Content-Length', '300', 'X-B', 'b', 'X-C', '']]])
    assert.deepEqual([plain.body, plain.trailers, plain.reader.keepAlive], [long, [], true])
    const pieces = read(`${chunked}\r\n`, size)
    assert.deepEqual(pieces.heads, [[200, 'OK', ['X-A', 'ü']]])
    assert.deepEqual([pieces.body, pieces.trailers, pieces.reader.keepAlive], ['hello world', [], true])
    const trailers = read(`${chunked}X-Sum: 1\r\nX-T: 2\r\n\r\n`, size)
    assert.deepEqual(trailers.trailers, ['X-Sum', '1', 'X-T', '2'])
    const informed = read(
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: <x>\r\n\r\nHTTP/1.1 204 No\r\n\r\n',
      size,
    )
    assert.deepEqual([informed.information, informed.heads, informed.trailers], [[103], [[204, 'No', []]], []])
    const untilClose = read('HTTP/1.0 200\r\n\r\nall of it', size)
    assert.equal(untilClose.trailers, undefined)
    assert.equal(untilClose.reader.end(), true)
    assert.deepEqual([untilClose.body, untilClose.trailers], ['all of it', []])
  })

test('answers without a body, whatever they say of it', () => {
  assert.deepEqual(read('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n', 100, 'HEAD').trailers, [])
  assert.deepEqual(read('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 100, 'HEAD').trailers, [])
  const notModified = read('HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n')
  assert.deepEqual([notModified.trailers, notModified.reader.keepAlive], [[], true])
  assert.equal(read('HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n').reader.keepAlive, false)
})

test('the connection is used again only when both sides agree and nothing is left over', () => {
  const keepAlive = (text: string) => read(text).reader.keepAlive
  assert.equal(keepAlive('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), true)
  assert.equal(keepAlive('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'), false)
  assert.equal(keepAlive('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x-a, Close\r\n\r\n'), false)
  assert.equal(keepAlive('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'), false)
  assert.equal(keepAlive('HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n'), true)
  assert.equal(keepAlive('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab'), false)
  assert.equal(keepAlive('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n'), false)
  const hint = read('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5, max=9\r\n\r\n')
  assert.equal(hint.reader.keepAliveSeconds, 5)
})

test('headers that are for the connection alone go no further', () => {
  const { heads } = read(
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\nConnection: X-Hop, Content-Length\r\nX-Hop: 1\r\nUpgrade: h2c\r\nKeep-Alive: x\r\nX-A: 1\r\n\r\n',
  )
  assert.deepEqual(heads[0]?.[2], ['Content-Length', '0', 'X-A', '1'])
})

const bad: Record<string, string> = {
  'no HTTP': 'SSH-2.0-OpenSSH\r\n\r\n',
  'HTTP/2': 'HTTP/2 200 OK\r\n\r\n',
  'no status': 'HTTP/1.1 abc OK\r\n\r\n',
  'a short status': 'HTTP/1.1 20 OK\r\n\r\n',
  'a long status': 'HTTP/1.1 2000 OK\r\n\r\n',
  'an unasked upgrade': 'HTTP/1.1 101 Switching\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
  'a list of lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n',
  'a signed length': 'HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n',
  'a huge length': 'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n',
  'length and chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
  'an unknown coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
  'chunked twice': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n',
  'chunks in 1.0': 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  'a space before the colon': 'HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n',
  'a folded header': 'HTTP/1.1 200 OK\r\nX-A: 1\r\n b: 2\r\n\r\n',
  'no colon': 'HTTP/1.1 200 OK\r\nX-A\r\n\r\n',
  'a bare line feed': 'HTTP/1.1 200 OK\r\nX-A: 1\nX-B: 2\r\n\r\n',
  'a bare carriage return': 'HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\n\r\n',
  'a NUL': 'HTTP/1.1 200 OK\r\nX-A: 1\0\r\n\r\n',
  'an endless head': `HTTP/1.1 200 OK\r\n${'X-A: 1\r\n'.repeat(10_000)}`,
  'a bad chunk size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n',
  'a signed chunk size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n',
  'an endless chunk size': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;${'x'.repeat(5000)}`,
  'a chunk that is too long': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n',
}
for (const [what, text] of Object.entries(bad))
  test(`refuses ${what}`, () => {
    for (const size of [1, 5, text.length]) assert.throws(() => read(text, size), BadResponse, `pieces of ${size}`)
  })
