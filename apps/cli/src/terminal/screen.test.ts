import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { Step } from '@coderunner/client'
import { Screen, type ScreenOptions } from './screen.ts'
import { StepsView } from './steps-view.ts'

/** A screen whose two streams are kept as text. */
function screenOf(options: Partial<ScreenOptions>) {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const screen = new Screen({
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: stderr as unknown as NodeJS.WriteStream,
    colour: false,
    live: false,
    quiet: false,
    json: false,
    ...options,
  })
  const read = (stream: PassThrough) => ((stream.read() as Buffer | null) ?? '').toString()
  return { screen, stdout: () => read(stdout), stderr: () => read(stderr) }
}

const clear = '\r\u001b[K'

const step = (name: string, status: Step['status'], durationMs?: number): Step => ({
  name,
  status,
  ...(durationMs !== undefined && { durationMs }),
})

test('results go to stdout and everything else to stderr', () => {
  const { screen, stdout, stderr } = screenOf({})
  screen.note('on the way')
  screen.warn('careful')
  screen.outputLine('line\u001b[2J')
  screen.result('http://x')
  screen.document({ a: 1 })
  assert.equal(stdout(), 'http://x\n{"a":1}\n')
  assert.equal(stderr(), 'on the way\nWarning: careful\n  │ line\\x1b[2J\n')
})

test('quiet leaves results and warnings', () => {
  const { screen, stdout, stderr } = screenOf({ quiet: true, live: true })
  new StepsView(screen).update([step('build', 'SUCCEEDED', 5)])
  screen.note('on the way')
  screen.activity(() => 'working')
  screen.warn('careful')
  screen.result('http://x')
  assert.equal(stdout(), 'http://x\n')
  assert.equal(stderr(), 'Warning: careful\n')
})

test('plain steps: a line when one begins, a line when it ends, none twice', () => {
  const { screen, stderr } = screenOf({})
  const view = new StepsView(screen)
  view.update([step('analyze', 'SUCCEEDED', 12), step('install', 'RUNNING'), step('build', 'PENDING')])
  view.update([step('analyze', 'SUCCEEDED', 12), step('install', 'RUNNING'), step('build', 'PENDING')])
  view.update([step('analyze', 'SUCCEEDED', 12), step('install', 'SKIPPED'), step('build', 'FAILED', 61_000)])
  assert.equal(stderr(), '✓ analyze    12 ms\ninstall...\n- install    skipped\n✗ build      1m 01s\n')
})

test('a live screen keeps the activity below what is printed, and takes it away at the end', () => {
  const { screen, stderr } = screenOf({ live: true })
  const view = new StepsView(screen)
  view.update([step('build', 'RUNNING')])
  assert.match(stderr(), /^⠋ build +\d+ ms$/)
  screen.note('a line')
  assert.ok(stderr().startsWith(`${clear}a line\n⠋ build`))
  view.update([step('build', 'SUCCEEDED', 1500)])
  view.end()
  const last = stderr()
  assert.ok(last.includes('✓ build      1.5 s\n') && last.endsWith(clear), JSON.stringify(last))
})

test('tables are aligned and free of trailing spaces', () => {
  const { screen, stdout } = screenOf({})
  screen.table([
    ['NAME', 'URL'],
    ['a-long-name', ''],
    ['b', 'http://b'],
  ])
  assert.equal(stdout(), 'NAME          URL\na-long-name\nb             http://b\n')
})
