import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConmonLog } from './conmon-log.ts'

const record = (stream: string, tag: 'P' | 'F', content: string | Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`2026-01-02T03:04:05.678901234+00:00 ${stream} ${tag} `),
    Buffer.from(content),
    Buffer.from('\n'),
  ])
const time = Date.parse('2026-01-02T03:04:05.678Z')

test('parts are joined per stream, and characters cut in two are whole again', () => {
  const log = new ConmonLog(100)
  const snowman = Buffer.from('☃')
  const bytes = Buffer.concat([
    record('stdout', 'P', Buffer.concat([Buffer.from('a'), snowman.subarray(0, 1)])),
    record('stderr', 'F', 'between'),
    record('stdout', 'F', Buffer.concat([snowman.subarray(1), Buffer.from('b')])),
  ])
  for (const byte of bytes) {
    assert.equal(log.take(), undefined)
    log.push(Buffer.from([byte]))
  }
  assert.deepEqual(log.take(), {
    lines: [
      { time, stream: 'stderr', text: 'between' },
      { time, stream: 'stdout', text: 'a☃b' },
    ],
    offset: 100 + bytes.length,
  })
  assert.equal(log.take(), undefined)
})

test('lines before an unfinished one are given out, with the offset where it begins', () => {
  const log = new ConmonLog(0)
  const first = record('stdout', 'F', 'first')
  const rest = Buffer.concat([record('stderr', 'P', 'sec'), record('stdout', 'F', 'third')])
  log.push(Buffer.concat([first, rest]))
  assert.deepEqual(
    [log.take()].map(chunk => [chunk?.lines.map(line => line.text), chunk?.offset]),
    [[['first'], first.length]],
  )
  assert.equal(log.isWaiting, true)
  log.push(record('stderr', 'F', 'ond'))
  assert.deepEqual(
    log.take()?.lines.map(line => line.text),
    ['third', 'second'],
  )
  assert.equal(log.isWaiting, false)
})

test('an endless line comes in pieces, and one that is flushed goes on as another', () => {
  const log = new ConmonLog(0)
  for (let n = 0; n < 40; n++) log.push(record('stdout', 'P', 'x'.repeat(8192)))
  assert.equal(log.take()?.lines[0]?.text.length, 256 * 1024)
  log.flush()
  assert.equal(log.take()?.lines[0]?.text.length, 8 * 8192)
  log.push(record('stdout', 'F', 'end'))
  assert.deepEqual(
    log.take()?.lines.map(line => line.text),
    ['end'],
  )
})

test('half a record is passed over', () => {
  const log = new ConmonLog(0)
  log.push(Buffer.concat([Buffer.from('2026-01-02T03:0\n'), record('stdout', 'F', ''), Buffer.from('\n')]))
  assert.deepEqual(
    log.take()?.lines.map(line => line.text),
    [''],
  )
})
