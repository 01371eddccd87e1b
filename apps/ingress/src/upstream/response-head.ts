/** The head of an application's answer: its first line, its headers, and what they say of the rest. */

export class BadResponse extends Error {
  readonly code = 'BAD_RESPONSE'
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Neither an end of a line nor a NUL within one. */
const forbidden = /[\0\r\n]/

/** What the headers say of the message's length and of the connection. */
export class Framing {
  length: number | undefined
  isChunked = false
  keepAlive: boolean
  keepAliveSeconds: number | undefined
  /** Headers that `Connection` names. */
  named: Set<string> | undefined
  readonly #is11: boolean

  constructor(is11: boolean) {
    this.#is11 = is11
    this.keepAlive = is11
  }

  /** Takes note of a header; false when it goes no further. `name` is in lower case. */
  note(name: string, value: string): boolean {
    switch (name) {
      case 'content-length':
        return this.#noteLength(value)
      case 'transfer-encoding':
        // Any other coding, or this one twice, would be one that the client was not told of.
        if (value.toLowerCase() !== 'chunked' || this.isChunked || !this.#is11)
          throw new BadResponse('The answer has a transfer coding that was not asked for')
        this.isChunked = true
        return false
      case 'connection':
        this.#noteConnection(value.toLowerCase())
        return false
      case 'keep-alive': {
        const seconds = /timeout=(\d{1,6})/i.exec(value)?.[1]
        if (seconds !== undefined) this.keepAliveSeconds = Number(seconds)
        return false
      }
      case 'proxy-connection':
      case 'upgrade':
        return false
      default:
        return true
    }
  }

  #noteLength(value: string): boolean {
    if (!/^\d{1,15}$/.test(value)) throw new BadResponse('The length of the answer is no number')
    const length = Number(value)
    const isFirst = this.length === undefined
    if (!isFirst && this.length !== length) throw new BadResponse('The answer has two lengths')
    this.length = length
    return isFirst
  }

  #noteConnection(value: string): void {
    if (value === 'keep-alive') {
      this.keepAlive = true
      return
    }
    for (const option of value.split(',').map(word => word.trim())) {
      if (option === 'close') this.keepAlive = false
      else if (option === 'keep-alive') this.keepAlive = true
      else if (!endToEnd.has(option)) {
        this.named ??= new Set()
        this.named.add(option)
      }
    }
  }
}

/** Not taken away although `Connection` names them. */
const endToEnd = new Set(['content-length', 'content-type', 'set-cookie'])

/** Lower-case forms of the names that applications really send; making them anew for each answer costs. */
const lowerCase = new Map<string, string>()
const keptNames = 1000

function lower(name: string): string {
  const known = lowerCase.get(name)
  if (known !== undefined) return known
  if (!token.test(name)) throw new BadResponse('A header of the answer has no valid name')
  const made = name.toLowerCase()
  if (lowerCase.size < keptNames) lowerCase.set(name, made)
  return made
}

export function statusOf(line: string): number {
  const version = line.startsWith('HTTP/1.') && (line[7] === '1' || line[7] === '0')
  const status = Number(line.slice(9, 12))
  const isStatus = version && line[8] === ' ' && status >= 100 && status <= 999 && Number.isInteger(status)
  if (!isStatus || (line.length > 12 && line[12] !== ' ') || forbidden.test(line))
    throw new BadResponse('The answer is not HTTP/1')
  return status
}

/** Reads the lines of `text` from `start` on into a flat list. */
export function readFields(text: string, start: number, into: string[], framing: Framing): void {
  for (let at = start; at < text.length; ) {
    const end = text.indexOf('\r\n', at)
    const lineEnd = end < 0 ? text.length : end
    const colon = text.indexOf(':', at)
    if (colon < 0 || colon > lineEnd) throw new BadResponse('A header of the answer has no colon')
    const name = text.slice(at, colon)
    const value = text.slice(colon + 1, lineEnd).trim()
    if (forbidden.test(value)) throw new BadResponse('A header of the answer has a character that may not be there')
    if (framing.note(lower(name), value)) into.push(name, value)
    at = lineEnd + 2
  }
}

export function without(headers: string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_, index) => !names.has((headers[index - (index % 2)] as string).toLowerCase()))
}
