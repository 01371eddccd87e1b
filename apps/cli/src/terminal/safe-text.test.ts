import assert from 'node:assert/strict'
import { test } from 'node:test'
import { logLine } from './log-line.ts'
import { safeLines, safeText } from './safe-text.ts'

test('orders to the terminal are spelled out; text and tabs stay', () => {
  assert.equal(safeText('größe\t✓ 日本\r\n'), 'größe\t✓ 日本')
  assert.equal(safeText('\u001b[2J\u001b]0;title\u0007x'), '\\x1b[2J\\x1b]0;title\\x07x')
  assert.equal(safeText('a\rb\nc\bd\u007f\u009bm'), 'a\\x0db\\x0ac\\x08d\\x7f\\x9bm')
  assert.equal(safeText('user\u202Etxt.exe'), 'user\\u202etxt.exe')
})

test('lines of a message stay apart, and below the first', () => {
  assert.equal(safeLines('The build failed.\nerror: a\u001b[2J\rb'), 'The build failed.\n  error: a\\x1b[2J\\x0db')
})

test('colours stay where they are wanted, and end with the line', () => {
  const red = '\u001b[31mred'
  assert.equal(safeText(red), 'red')
  assert.equal(safeText(red, { colours: true }), '\u001b[31mred\u001b[0m')
  assert.equal(safeText('\u001b[1;31mx\u001b[K', { colours: true }), '\u001b[1;31mx\\x1b[K\u001b[0m')
  assert.equal(safeText('plain', { colours: true }), 'plain')
})

test('a log line names its instance, or its source', () => {
  const entry = {
    cursor: 1,
    time: Date.parse('2026-01-02T03:04:05.678Z'),
    source: 'run',
    deploymentId: 'd',
    instance: 'web.1',
    stream: 'stdout',
    level: 'info',
    message: 'hi\u001b[H',
  } as const
  assert.equal(logLine(entry, { colours: false, time: true }), '03:04:05.678 web.1 | hi\\x1b[H')
  assert.equal(
    logLine({ ...entry, instance: '', source: 'build' }, { colours: false, time: false }),
    'build | hi\\x1b[H',
  )
})
