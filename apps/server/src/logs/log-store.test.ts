import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test, { type TestContext } from 'node:test'
import { newId } from '@coderunner/contract'
import type { LogEntry } from './log-line.ts'
import { LogStore, type LogStoreOptions } from './log-store.ts'

const project = newId()
const deployment = newId()

async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'logs-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}

const entry = (message: string, more: Partial<LogEntry> = {}): LogEntry => ({
  time: 1_760_000_000_000,
  source: 'run',
  deploymentId: deployment,
  instance: 'web.1',
  stream: 'stdout',
  level: 'info',
  message,
  ...more,
})
const many = (count: number, more: Partial<LogEntry> = {}) =>
  Array.from({ length: count }, (_, index) => entry(`line ${index}`, more))
const small: Partial<LogStoreOptions> = {
  segmentBytes: 200_000,
  maxAgeMs: Infinity,
}
const messages = (page: { records: { message: string }[] }) => page.records.map(record => record.message)

test('keeps records as they were, and goes on with the cursors after a restart', async t => {
  const directory = await scratch(t)
  const given = [
    entry('one\ntwo'),
    entry('\x1b[31mred\x1b[0m \x10n ü 日本', { level: 'error', stream: 'stderr' }),
    entry(''),
  ]
  {
    await using store = await LogStore.open({ directory })
    assert.equal(await store.append(project, given), 3)
    const { records, cursor } = await store.query(project, {})
    assert.deepEqual(
      records,
      given.map((record, index) => ({ ...record, cursor: index + 1 })),
    )
    assert.equal(cursor, 3)
  }
  await using store = await LogStore.open({ directory })
  assert.equal(await store.append(project, [entry('later', { instance: '', source: 'build' })]), 4)
  const { records } = await store.query(project, { lines: 2 })
  assert.deepEqual(
    records.map(record => [record.cursor, record.message, record.instance]),
    [
      [3, '', 'web.1'],
      [4, 'later', ''],
    ],
  )
})

test('appends that come at once keep their order', async t => {
  await using store = await LogStore.open({ directory: await scratch(t) })
  const ends = await Promise.all(
    Array.from({ length: 200 }, (_, n) => store.append(project, [entry(`a${n}`), entry(`b${n}`)])),
  )
  assert.deepEqual(
    ends,
    Array.from({ length: 200 }, (_, n) => 2 * n + 2),
  )
  const { records } = await store.query(project, { cursor: 0 })
  assert.deepEqual(
    records.map(record => record.message),
    Array.from({ length: 200 }, (_, n) => [`a${n}`, `b${n}`]).flat(),
  )
})

test('a half-written end is cut, whatever was left there', async t => {
  const directory = await scratch(t)
  const tails = ['176000', '1760000000000 iro 11 x', '\0\0\0\0\0\n', '1760000000000 iro 99 a web.1 wrong cursor\n']
  for (const [round, tail] of tails.entries()) {
    {
      await using store = await LogStore.open({ directory })
      assert.equal(await store.append(project, many(10)), round * 11 + 10)
    }
    await appendFile(path.join(directory, project, '0000000000000001.log'), tail)
    await using store = await LogStore.open({ directory })
    assert.equal(await store.append(project, [entry(`after ${round}`)]), round * 11 + 11)
    assert.deepEqual(messages(await store.query(project, { lines: 2 })), ['line 9', `after ${round}`])
  }
})

test('a lost, cut or foreign index is made again', async t => {
  const directory = await scratch(t)
  {
    await using store = await LogStore.open({ directory, ...small })
    for (let n = 0; n < 10; n++) await store.append(project, many(500))
  }
  const indexes = (await readdir(path.join(directory, project))).filter(name => name.endsWith('.index'))
  assert.ok(indexes.length > 1)
  for (const damage of [
    (file: string) => rm(file),
    (file: string) => truncate(file, 3),
    (file: string) => writeFile(file, '0 1 2 3\nnonsense\n'),
    async (file: string) => writeFile(file, (await readFile(file, 'utf8')).replaceAll(' ', '  ')),
  ]) {
    for (const name of indexes) await damage(path.join(directory, project, name))
    await using store = await LogStore.open({ directory, ...small })
    const page = await store.query(project, { lines: 10_000 })
    assert.equal(page.records.length, 5000)
    assert.deepEqual(
      page.records.map(record => record.cursor),
      Array.from({ length: 5000 }, (_, n) => n + 1),
    )
  }
})

test('finds by level, source, deployment, time and text, last ones or page by page', async t => {
  await using store = await LogStore.open({ directory: await scratch(t), ...small })
  const other = newId()
  for (let n = 0; n < 6; n++) {
    await store.append(project, many(1000, { time: 1_760_000_000_000 + n * 1000 }))
    await store.append(project, [
      entry(`Fehler ÄÖ ${n}`, { level: n % 2 === 0 ? 'error' : 'fatal', time: 1_760_000_000_500 + n * 1000 }),
      entry(`built ${n}`, { source: 'build', deploymentId: other, instance: '' }),
    ])
  }
  const found = async (search: Parameters<LogStore['query']>[1]) => messages(await store.query(project, search))
  assert.deepEqual(await found({ level: 'error', lines: 2 }), ['Fehler ÄÖ 4', 'Fehler ÄÖ 5'])
  assert.equal((await found({ level: 'fatal' })).length, 3)
  assert.deepEqual(await found({ source: 'build', lines: 1 }), ['built 5'])
  assert.deepEqual(
    await found({ deploymentId: other }),
    [0, 1, 2, 3, 4, 5].map(n => `built ${n}`),
  )
  assert.deepEqual(
    await found({ text: 'fehler äö' }),
    [0, 1, 2, 3, 4, 5].map(n => `Fehler ÄÖ ${n}`),
  )
  assert.deepEqual(await found({ text: deployment }), [], 'text looks at messages only')
  assert.deepEqual(await found({ level: 'warn', since: 1_760_000_002_000, until: 1_760_000_003_600 }), [
    'Fehler ÄÖ 2',
    'Fehler ÄÖ 3',
  ])

  const all: number[] = []
  for (let cursor = 0, more = true; more; ) {
    const page = await store.query(project, { cursor, text: 'line' })
    all.push(...page.records.map(record => record.cursor))
    more = page.records.length > 0
    cursor = page.cursor
  }
  assert.equal(all.length, 6000)
  assert.deepEqual(
    all,
    [...new Set(all)].sort((a, b) => a - b),
  )
})

test('cuts a message that is too long and says so', async t => {
  await using store = await LogStore.open({ directory: await scratch(t) })
  await store.append(project, [entry('ü'.repeat(50_000)), entry('next')])
  const { records } = await store.query(project, {})
  const bytes = Buffer.byteLength(records[0]?.message ?? '')
  assert.ok(bytes <= 65_536 && bytes > 65_000, String(bytes))
  assert.match(records[0]?.message ?? '', /ü … \[34\d\d\d bytes cut\]$/)
  assert.equal(records[1]?.message, 'next')
})

test('deletes the oldest segments by size and by age, never the cursors', async t => {
  const directory = await scratch(t)
  await using store = await LogStore.open({ directory, segmentBytes: 100_000, projectBytes: 300_000, maxAgeMs: 60_000 })
  const now = Date.now()
  for (let n = 0; n < 30; n++) await store.append(project, many(1000, { time: now }))
  const kept = await store.query(project, { lines: 10_000 })
  assert.ok(kept.records.length >= 2000 && kept.records.length < 10_000, String(kept.records.length))
  assert.equal(kept.cursor, 30_000)
  await store.sweep(now + 120_000)
  assert.deepEqual(await store.query(project, {}), { records: [], cursor: 30_000 })
  assert.equal(await store.append(project, [entry('on')]), 30_001)
  assert.equal((await readdir(path.join(directory, project))).length, 2)
})

test('follows from a cursor and then live, filtered', async t => {
  await using store = await LogStore.open({ directory: await scratch(t) })
  await store.append(project, many(3000))
  const stop = new AbortController()
  let expected = 1001
  const reading = (async () => {
    for await (const records of store.follow(project, { cursor: 1000, signal: stop.signal }))
      for (const record of records) {
        assert.equal(record.cursor, expected++)
        if (record.message === 'end') stop.abort()
      }
  })()
  const errors: string[] = []
  const filtered = (async () => {
    for await (const records of store.follow(project, { filter: { level: 'error' }, signal: stop.signal }))
      errors.push(...records.map(record => record.message))
  })()
  for (let n = 0; n < 50; n++) await store.append(project, [...many(100), entry(`bad ${n}`, { level: 'error' })])
  await store.append(project, [entry('end')])
  await Promise.all([reading, filtered])
  assert.equal(expected, 3000 + 50 * 101 + 2)
  assert.deepEqual(
    errors,
    Array.from({ length: 50 }, (_, n) => `bad ${n}`),
  )
})

test('a slow follower is put forward and told how much it missed', async t => {
  await using store = await LogStore.open({ directory: await scratch(t) })
  const stop = new AbortController()
  const follower = store.follow(project, { signal: stop.signal, maxLag: 500 })
  const first = follower.next()
  await store.append(project, [entry('start')])
  assert.equal((await first).value?.[0]?.message, 'start')
  for (let n = 0; n < 10; n++) await store.append(project, many(1000))
  const gap = (await follower.next()).value?.[0]
  assert.match(gap?.message ?? '', /^9500 log records were skipped/)
  assert.equal(gap?.cursor, 9501)
  assert.equal((await follower.next()).value?.[0]?.cursor, 9502)
  stop.abort()
  assert.equal((await follower.next()).done, true)
})

test('long polling waits for a matching record and no longer than asked', async t => {
  await using store = await LogStore.open({ directory: await scratch(t) })
  await store.append(project, many(5))
  const waiting = store.query(project, { cursor: 5, level: 'error', waitMs: 10_000 })
  await store.append(project, many(5))
  await store.append(project, [entry('bad', { level: 'error' })])
  assert.deepEqual(messages(await waiting), ['bad'])
  assert.deepEqual(await store.query(project, { cursor: 5, level: 'fatal', waitMs: 20 }), { records: [], cursor: 11 })
})

test('removes a project: files gone, followers end', async t => {
  const directory = await scratch(t)
  await using store = await LogStore.open({ directory })
  await store.append(project, many(5))
  const following = store.follow(project, {}).next()
  await store.query(project, {})
  await store.remove(project)
  assert.equal((await following).done, true)
  assert.deepEqual(await readdir(directory), [])
  await assert.rejects(store.append('../etc', [entry('x')]), TypeError)
})

test('what was acknowledged is there after kill -9 at any moment', async t => {
  const directory = await scratch(t)
  const url = new URL('log-store.ts', import.meta.url).href
  // A writer of its own that tells each cursor it was given.
  const program = `
    import { writeSync } from 'node:fs'
    import { LogStore } from ${JSON.stringify(url)}
    const store = await LogStore.open({ directory: ${JSON.stringify(directory)}, segmentBytes: 300_000 })
    for (let n = 0; ; n++) {
      const entries = Array.from({ length: 1 + (n % 300) }, (_, i) => ({ time: Date.now(), source: 'run', deploymentId: 'd',
        instance: 'web.1', stream: 'stdout', level: 'info', message: 'x'.repeat(i) + n }))
      writeSync(1, (await store.append(${JSON.stringify(project)}, entries)) + '\\n')
    }`
  let acknowledged = 0
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exit = once(child, 'exit')
    let output = ''
    for await (const chunk of child.stdout) {
      output += String(chunk)
      if (output.length > 300 + round * 400) child.kill('SIGKILL')
    }
    await exit
    const before = acknowledged
    acknowledged = Number(output.split('\n').at(-2))
    assert.ok(acknowledged > before)
    await using store = await LogStore.open({ directory, segmentBytes: 300_000 })
    const { records, cursor } = await store.query(project, { lines: 10_000 })
    assert.ok(cursor >= acknowledged, `${cursor} of ${acknowledged}`)
    assert.deepEqual(
      records.map(record => record.cursor),
      Array.from({ length: records.length }, (_, index) => cursor - records.length + 1 + index),
    )
    acknowledged = cursor
  }
})
