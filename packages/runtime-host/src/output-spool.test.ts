import assert from 'node:assert/strict'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { OutputLine } from '@coderunner/runtime'
import { CURRENT_LOG, OutputSpool } from './output-spool.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cr-spool-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const say = (text: string): void =>
  appendFileSync(join(directory, CURRENT_LOG), `2026-01-02T03:04:05.678901234+00:00 stdout F ${text}\n`)
const openSpool = (options: { keepAtMost?: number } = {}): OutputSpool =>
  OutputSpool.open({
    directory,
    rotateAt: 1000,
    ...options,
    reopen: () => {
      // As conmon does: a little later, and until then it writes where it wrote.
      setTimeout(() => writeFileSync(join(directory, CURRENT_LOG), '', { flag: 'a' }), 20)
      return true
    },
  })
const rotatedFiles = (): string[] => readdirSync(directory).filter(name => /^\d+\.log$/.test(name))

async function readUntil(spool: OutputSpool, offset: number, count: number): Promise<[OutputLine[], number]> {
  const lines: OutputLine[] = []
  let reached = offset
  for await (const chunk of spool.read({ offset, signal: AbortSignal.timeout(10_000) })) {
    lines.push(...chunk.lines)
    reached = chunk.offset
    if (lines.length >= count) break
  }
  return [lines, reached]
}
const numbers = (lines: OutputLine[]): number[] => lines.map(({ text }) => Number(text.slice(0, 4)))
const numbered = (n: number): string => `${String(n).padStart(4, '0')}${'.'.repeat(50)}`

async function sayWhileRotating(from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) {
    // Whoever writes to a renamed file has it open; this one only goes on when there is a new one.
    while (!existsSync(join(directory, CURRENT_LOG))) await new Promise(resolve => setTimeout(resolve, 5))
    say(numbered(n))
    await new Promise(resolve => setTimeout(resolve, 3))
  }
}

test('nothing is lost or doubled over rotations, from any offset, also after a restart', async () => {
  const count = 150
  let offset: number
  let first: OutputLine[]
  writeFileSync(join(directory, CURRENT_LOG), '')
  {
    using spool = openSpool()
    const reading = readUntil(spool, 0, 70)
    await sayWhileRotating(0, count)
    ;[first, offset] = await reading
    assert.ok(rotatedFiles().length >= 2)
    assert.deepEqual(numbers((await readUntil(spool, 0, count))[0]), [...Array(count).keys()])
  }
  using spool = openSpool()
  spool.acknowledge(offset)
  const before = rotatedFiles().length
  const [rest, end] = await readUntil(spool, offset, count - first.length)
  assert.deepEqual(numbers([...first, ...rest]), [...Array(count).keys()])
  spool.acknowledge(end)
  assert.ok(rotatedFiles().length < before)
  spool.end()
  assert.deepEqual((await readUntil(spool, end, 1))[0], [])
})

test('a rotation that was cut short is finished', async () => {
  say('one')
  renameSync(join(directory, CURRENT_LOG), join(directory, '0000000000000000.log'))
  using spool = openSpool()
  const [lines, offset] = await readUntil(spool, 0, 1)
  assert.equal(lines[0]?.text, 'one')
  while (!existsSync(join(directory, 'base'))) await new Promise(resolve => setTimeout(resolve, 5))
  say('two')
  assert.equal((await readUntil(spool, offset, 1))[0][0]?.text, 'two')
})

test('what nobody stores is dropped, and the reader told how much', async () => {
  writeFileSync(join(directory, CURRENT_LOG), '')
  using spool = openSpool({ keepAtMost: 5000 })
  await sayWhileRotating(0, 200)
  spool.end()
  const [lines] = await readUntil(spool, 0, 1000)
  const [told, ...kept] = lines
  assert.match(told?.text ?? '', /^\[\d+ bytes of output were dropped here/)
  assert.equal(numbers(kept).at(-1), 199)
  const first = numbers(kept)[0] ?? 0
  assert.ok(first > 0)
  assert.deepEqual(
    numbers(kept),
    Array.from({ length: 200 - first }, (_, n) => first + n),
  )
})

test('a line that is not finished is shown after a while; a closed spool says so', async () => {
  appendFileSync(join(directory, CURRENT_LOG), '2026-01-02T03:04:05.678901234+00:00 stdout P name? \n')
  const spool = openSpool()
  assert.equal((await readUntil(spool, 0, 1))[0][0]?.text, 'name? ')
  const reading = readUntil(spool, 10_000, 1)
  spool[Symbol.dispose]()
  await assert.rejects(reading, { code: 'unavailable' })
})
