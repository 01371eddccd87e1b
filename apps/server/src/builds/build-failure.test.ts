import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildFailure } from './build-failure.ts'
import { LineSplitter } from './line-splitter.ts'

const cases: [string, string, RegExp][] = [
  ['missing script', 'npm error Missing script: "build"', /no script “build”/],
  [
    'unreachable registry',
    'npm error code ENOTFOUND\nnpm error syscall getaddrinfo',
    /registry could not be reached \(ENOTFOUND\)/,
  ],
  [
    'out of memory',
    'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory',
    /out of memory/,
  ],
  [
    'unknown package',
    "npm error code E404\nnpm error 404  'expresss@^4.0.0' is not in this registry.",
    /has no expresss@\^4\.0\.0/,
  ],
  ['contradiction', 'npm error code ERESOLVE\nnpm error ERESOLVE could not resolve', /contradict/],
  ['missing program', 'sh: 1: vite: not found', /“vite” is not there/],
  ['types', "src/a.ts(1,7): error TS2322: Type 'string' is not assignable", /TypeScript found errors/],
  ['disk', 'npm error code ENOSPC', /disk space/],
  ['anything else', 'it just broke', /ended with code 1\.\nit just broke$/],
]
for (const [what, output, message] of cases)
  test(`tells ${what}`, () => {
    const failure = buildFailure({ command: 'npm run build', exitCode: 1, lines: output.split('\n') })
    assert.equal(failure.code, 'build_failed')
    assert.match(failure.message, message)
    assert.ok(failure.message.includes(output.split('\n')[0] ?? ''))
  })

test('keeps the lines that say something, without colours', () => {
  const lines = [
    '\u001b[31mreal\u001b[0m',
    '',
    'npm error A complete log of this run can be found in: x',
    'npm notice new',
  ]
  assert.equal(buildFailure({ command: 'x', exitCode: 2, lines }).message, '“x” ended with code 2.\nreal')
})

test('lines', () => {
  const splitter = new LineSplitter()
  assert.deepEqual(splitter.push(Buffer.from('a\r\nb')), ['a'])
  assert.deepEqual(splitter.push(Buffer.from('c\n10%\r20%\r')), ['bc', '10%'])
  assert.deepEqual(splitter.end(), ['20%'])
  const [first, second] = [Buffer.from('é\n').subarray(0, 1), Buffer.from('é\n').subarray(1)]
  assert.deepEqual([...splitter.push(first), ...splitter.push(second)], ['é'])
})
