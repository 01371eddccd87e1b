import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { mostSegments, segmentBytes, segmentStarts } from './spool.ts'
import { acknowledgeSpool, readSpool } from './spool-reader.ts'
import { SpoolWriter } from './spool-writer.ts'

test('lines come back as they were, cut where they are too long, also across segments', async () => {
  await using spool = await TestSpool.make()
  const line = 'é'.repeat(1000)
  spool.stream.write(`first\n\n${'x'.repeat(100_000)}\n`)
  for (let n = 0; n < 5000; n++) if (!spool.stream.write(`${n} ${line}\n`)) await spool.drained()
  spool.stream.end('without an end')
  await spool.written
  assert.ok((await segmentStarts(spool.directory)).length > 2)
  const { texts, offset } = await spool.read(0)
  assert.deepEqual([...texts.slice(0, 2), texts[2]?.length, texts[3]?.length], ['first', '', 65536, 100_000 - 65536])
  assert.deepEqual(
    texts.slice(4, -1),
    Array.from({ length: 5000 }, (_, n) => `${n} ${line}`),
  )
  assert.equal(texts.at(-1), 'without an end')
  await acknowledgeSpool(spool.directory, segmentBytes)
  await acknowledgeSpool(spool.directory, offset)
  assert.equal((await segmentStarts(spool.directory)).length, 1, 'the one that is written stays')
  assert.deepEqual((await spool.read(offset)).texts, [])
  assert.equal((await spool.read(0)).texts.at(-1), 'without an end', 'what was let go is passed over')
})

test('a full spool makes the program wait until some of it is let go', async () => {
  await using spool = await TestSpool.make()
  const piece = `${'x'.repeat(65_000)}\n`.repeat(16)
  let taken = 0
  const pieces = mostSegments * 6
  const feed = (async () => {
    for (; taken < pieces; taken++) if (!spool.stream.write(piece)) await spool.drained()
    spool.stream.end()
  })()
  while ((await segmentStarts(spool.directory)).length < mostSegments) await new Promise(setImmediate)
  await spool.quiet()
  assert.ok(taken < pieces)
  await acknowledgeSpool(spool.directory, mostSegments * segmentBytes)
  await feed
  await spool.written
})

class TestSpool implements AsyncDisposable {
  readonly directory: string
  readonly stream = new PassThrough()
  readonly written: Promise<void>

  static async make(): Promise<TestSpool> {
    return new TestSpool(await mkdtemp(join(tmpdir(), 'cr-spool-')))
  }

  private constructor(directory: string) {
    this.directory = directory
    const writer = new SpoolWriter(directory)
    this.written = writer.follow(this.stream, 'o').then(() => writer.close())
  }

  async read(offset: number): Promise<{ texts: string[]; offset: number }> {
    const texts: string[] = []
    let reached = offset
    const { signal } = new AbortController()
    for await (const chunk of readSpool({ directory: this.directory, offset, signal, ended: this.written })) {
      texts.push(...chunk.lines.map(line => line.text))
      reached = chunk.offset
    }
    return { texts, offset: reached }
  }

  drained(): Promise<void> {
    return new Promise(resolve => this.stream.once('drain', resolve))
  }

  /** Resolves when nothing more is taken from the stream for a while. */
  async quiet(): Promise<void> {
    for (let before = -1; before !== this.stream.readableLength; ) {
      before = this.stream.readableLength
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.written
    await rm(this.directory, { recursive: true, force: true })
  }
}
