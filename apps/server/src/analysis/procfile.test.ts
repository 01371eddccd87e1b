import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Findings } from './findings.ts'
import { parseProcfile } from './procfile.ts'

const parse = (text: string) => {
  const findings = new Findings()
  return { procfile: parseProcfile(text, findings), warnings: findings.warnings }
}

test('web, worker, release and others', () => {
  const { procfile, warnings } = parse(
    '# of the shop\nweb: gunicorn shop:app --bind 0.0.0.0:$PORT\r\nworker:python worker.py\n\nclock_one: python clock.py\nrelease: ./manage.py migrate\n',
  )
  assert.deepEqual(procfile, {
    processes: [
      { type: 'web', command: 'gunicorn shop:app --bind 0.0.0.0:$PORT', count: 1 },
      { type: 'worker', command: 'python worker.py', count: 1 },
      { type: 'clock-one', command: 'python clock.py', count: 1 },
    ],
    release: './manage.py migrate',
  })
  assert.deepEqual(warnings, [])
})

test('what is no process is told and passed over', () => {
  const { procfile, warnings } = parse('web: a\nweb: b\nnonsense\n9x: c\nworker:\n')
  assert.deepEqual(procfile?.processes, [{ type: 'web', command: 'a', count: 1 }])
  assert.deepEqual(
    warnings.map(warning => warning.slice(0, 6)),
    ['Line 2', 'Line 3', 'Line 4', 'Line 5'],
  )
})

test('without a web process nothing answers', () => {
  assert.match(parse('worker: a').warnings.join(), /no web process/)
})

test('a release alone', () => {
  assert.deepEqual(parse('release: a').procfile, { processes: [], release: 'a' })
})

test('nothing at all', () => assert.equal(parse('\n# empty\n').procfile, undefined))
