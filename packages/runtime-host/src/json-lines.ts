import type { Readable } from 'node:stream'

/** One JSON value a line. */
export async function* encodeLines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`
}

const NEWLINE = 10

/** @throws when a line is longer than `limit` bytes, or not JSON */
export async function* decodeLines(stream: Readable, limit: number): AsyncGenerator {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield JSON.parse(Buffer.concat([...parts, chunk.subarray(start, end)]).toString('utf8'))
      parts = []
      bytes = 0
      start = end + 1
    }
    parts.push(chunk.subarray(start))
    bytes += chunk.length - start
    if (bytes > limit) throw new RangeError(`A line of more than ${limit} bytes.`)
  }
}
