import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildFailure, startFailure } from './build-failure.ts'
import { builderLimits } from './builder-sandbox.ts'
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
  [
    'killed',
    'Killed process 12 (node)',
    new RegExp(`out of memory \\(${builderLimits.memoryMb} MB\\): let it do less`),
  ],
  [
    'the size of the disk',
    'write: No space left on device',
    new RegExp(`out of disk space \\(${builderLimits.diskMb} MB\\)`),
  ],
  [
    'a registry that pnpm does not reach',
    ' ERR_PNPM_META_FETCH_FAIL  GET https://npm.acme.example/ms: request to https://npm.acme.example/ms failed, reason: getaddrinfo ENOTFOUND npm.acme.example',
    /registry https:\/\/npm\.acme\.example could not be reached \(ENOTFOUND\): check the registry in \.npmrc/,
  ],
  [
    'a registry that Yarn does not reach',
    'error An unexpected error occurred: "https://npm.acme.example/ms: connect ECONNREFUSED 192.0.2.7:443".',
    /registry https:\/\/npm\.acme\.example could not be reached \(ECONNREFUSED\)/,
  ],
  [
    'a refusal as Yarn tells it',
    'error An unexpected error occurred: "https://npm.acme.example/@acme%2fkit: Request failed \\"403 Forbidden\\"".',
    /refused @acme\/kit at npm\.acme\.example \(403 Forbidden\): a private package needs a token/,
  ],
  [
    'a database that a build does not reach',
    'Error: connect ECONNREFUSED 10.0.0.1:5432',
    /The build could not reach 10\.0\.0\.1:5432 \(ECONNREFUSED\)/,
  ],
  [
    'a missing header',
    '../src/png.cc:3:10: fatal error: png.h: No such file or directory\ngyp ERR! build error',
    /lacks the header png\.h/,
  ],
  [
    'an import that webpack does not find',
    "Module not found: Error: Can't resolve './Button' in '/app/src'",
    /There is no file \.\/Button, which src asks for: .* the same case/,
  ],
  [
    'an import that Rollup does not find',
    'Could not resolve "./Button" from "src/App.jsx"',
    /There is no file \.\/Button, which src\/App\.jsx asks for/,
  ],
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

test('shows the telling line, however much was written after it', () => {
  const lines = ['src/a.ts(1,7): error TS2322: Type mismatch', ...Array.from({ length: 50 }, (_, i) => `at ${i}`)]
  const [, second] = buildFailure({ command: 'x', exitCode: 2, lines }).message.split('\n')
  assert.equal(second, lines[0])
})

test('an application that does not reach its database is not told about registries', () => {
  assert.equal(startFailure(['Error: connect ECONNREFUSED 10.0.0.1:5432']), undefined)
  assert.match(startFailure(["Error: Cannot find module 'express'"]) ?? '', /The package express is not installed/)
})

test('output made to be looked through for long is not', () => {
  const words =
    'npm error code ERESOLVE Found: x peer x@"1 npm error code E401 401 x - Cannot find module \'./x gyp ERR! a.cc:1:1: error: '
  const lines = Array.from({ length: 400 }, () => words.repeat(200))
  const started = performance.now()
  buildFailure({ command: 'x', exitCode: 1, lines })
  startFailure(lines)
  assert.ok(performance.now() - started < 1000)
})

test('lines', () => {
  const splitter = new LineSplitter()
  assert.deepEqual(splitter.push(Buffer.from('a\r\nb')), ['a'])
  assert.deepEqual(splitter.push(Buffer.from('c\n10%\r20%\r')), ['bc', '10%'])
  assert.deepEqual(splitter.end(), ['20%'])
  const [first, second] = [Buffer.from('é\n').subarray(0, 1), Buffer.from('é\n').subarray(1)]
  assert.deepEqual([...splitter.push(first), ...splitter.push(second)], ['é'])
})
