import { StringDecoder } from 'node:string_decoder'

/** pino's levels from here on are shown to whoever watches coderunnerd. */
const warn = 40
const names = new Map([
  [40, 'warning'],
  [50, 'error'],
  [60, 'fatal'],
])
const maxShown = 2000

/**
 * What to show of a line of a child's log; undefined for what only belongs into the file. A line that is no pino record
 * is the last word of a program that broke, and is shown as it is.
 */
export function shownLine(line: string): string | undefined {
  if (line.trim() === '') return undefined
  if (!line.startsWith('{')) return printable(line)
  let record: Record<string, unknown>
  try {
    record = JSON.parse(line) as Record<string, unknown>
  } catch {
    return printable(line)
  }
  const level = Number(record['level'])
  if (!(level >= warn)) return undefined
  const error = record['err'] as { message?: unknown } | undefined
  const parts = [record['msg'], error?.message].filter(part => typeof part === 'string' && part !== '')
  return printable(`${names.get(level) ?? 'error'}: ${[...new Set(parts)].join(': ') || 'see the log'}`)
}

/** Without what a terminal would obey. */
const printable = (text: string): string => text.replaceAll(/[\p{Cc}]/gu, ' ').slice(0, maxShown)

const maxLine = 64 * 1024

/** Lines of a stream that comes in pieces. A line longer than 64 K characters comes in pieces too. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''

  /** What came after the last end of a line. */
  get rest(): string {
    return this.#rest
  }

  split(chunk: Buffer): string[] {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > maxLine) {
      lines.push(this.#rest)
      this.#rest = ''
    }
    return lines
  }
}
