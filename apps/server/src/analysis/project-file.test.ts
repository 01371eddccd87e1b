import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseProjectFile } from './project-file.ts'

const parse = (text: string) => parseProjectFile('coderunner.yaml', text)

test('everything it may say', () => {
  const wishes = parse(
    `runtime: python
directory: backend
build: ''
start: gunicorn shop:app
release: python manage.py migrate
port: 8000
processes:
  worker: python worker.py
  mailer: { command: python mail.py, count: 2 }
`,
  )
  assert.deepEqual(wishes, {
    runtime: 'python',
    directory: 'backend',
    build: '',
    start: 'gunicorn shop:app',
    release: 'python manage.py migrate',
    port: 8000,
    processes: [
      { type: 'worker', command: 'python worker.py', count: 1 },
      { type: 'mailer', command: 'python mail.py', count: 2 },
    ],
  })
})

test('a static site', () =>
  assert.deepEqual(parse('runtime: static\nroot: dist\nindexFallback: true'), {
    runtime: 'static',
    root: 'dist',
    indexFallback: true,
  }))

test('an empty file asks for nothing', () => assert.deepEqual(parse('# later\n'), {}))

for (const [what, text, message] of [
  [
    'an unknown key',
    'runtime: python\nstrat: python main.py\n',
    /^coderunner\.yaml, line 2, column 1: there is no setting “strat”; did you mean start\?$/,
  ],
  [
    'an unknown key of a process',
    'processes:\n  web:\n    comand: x\n',
    /line 3, column 5: .*“comand”; did you mean command\?/,
  ],
  ['a key like no other', 'replicas: 3\n', /line 1, column 1: .*“replicas”: known are runtime,/],
  ['environment variables', 'env:\n  A: b\n', /line 1, column 1: .*coderunner env/],
  ['a wrong type', 'start: x\nport: many\n', /line 2, column 7: port has to be a number from 1 to 65535\./],
  ['a wrong runtime', 'runtime: perl\n', /line 1, column 10: runtime has to be one of nodejs, python/],
  ['a list', '- a\n', /line 1, column 1: it has to be a list of settings/],
  ['what is no YAML', 'start: "x\n', /line \d+, column \d+: /],
  ['the same key twice', 'start: a\nstart: b\n', /line 2, column 1: Map keys must be unique/],
  ['a bad process name', 'processes: { Web_1: x }\n', /“Web_1” is no name for a process/],
] as const)
  test(`${what}: the place and the cause`, () => assert.throws(() => parse(text), { message, code: 'build_failed' }))

test('a bomb of aliases is refused at once', () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
  for (let index = 1; index < 12; index++)
    lines.push(`a${index}: &a${index} [${Array.from({ length: 10 }, () => `*a${index - 1}`).join(', ')}]`)
  const before = performance.now()
  assert.throws(() => parse(lines.join('\n')), /aliases/)
  assert.ok(performance.now() - before < 500)
})

test('deep nesting and sheer size are refused', () => {
  assert.throws(() => parse(`processes: ${'['.repeat(3000)}`), /coderunner\.yaml/)
  assert.throws(() => parse(`# ${'x'.repeat(70_000)}`), /larger than 64 KB/)
})
