/**
 * Reads the answers of an application from the bytes of one connection (RFC 9112). An application is not trusted: what is
 * not exactly HTTP/1 is an error, and the connection is thrown away.
 */

import { BadResponse, Framing, readFields, statusOf, without } from './response-head.ts'

export interface ResponseHead {
  status: number
  statusText: string
  /** Names and values as sent, without those that concern this connection alone. */
  headers: string[]
}

export interface ResponseListener {
  /** An answer from 102 to 199 that comes before the real one. */
  onInformation(head: ResponseHead): void
  onHead(head: ResponseHead): void
  /** A part of the body; the bytes are only there during the call. `isLast`: `onEnd` follows at once. */
  onData(bytes: Buffer, isLast: boolean): void
  onEnd(trailers: string[]): void
}

const maxHeadBytes = 64 * 1024
const maxChunkLineBytes = 1024
const noBytes = Buffer.alloc(0)

type Body = 'none' | 'length' | 'until-close' | 'chunked'
/** Where in the message the next byte belongs. */
type Place = 'idle' | 'head' | 'body' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailers'

export class ResponseReader {
  #listener: ResponseListener | undefined
  #isHead = false
  #place: Place = 'idle'
  #body: Body = 'none'
  /** Bytes of the body or of the chunk that are still to come. */
  #left = 0
  /** The begin of a head or of a line of which the end has not come yet. */
  #pending: Buffer = noBytes
  #keepAlive = false
  #keepAliveSeconds: number | undefined

  /** False from a request on until all of its answer is read. */
  get isIdle(): boolean {
    return this.#place === 'idle'
  }

  /** Whether a byte of the answer's head has come. */
  get hasBegun(): boolean {
    return this.#place !== 'head' || this.#pending.length > 0
  }

  /** After an answer: whether another request may go over this connection. */
  get keepAlive(): boolean {
    return this.#keepAlive
  }

  /** How long the application says that it keeps the connection open. */
  get keepAliveSeconds(): number | undefined {
    return this.#keepAliveSeconds
  }

  /** The next bytes are the answer to a request of this method. */
  expect(method: string, listener: ResponseListener): void {
    this.#listener = listener
    this.#isHead = method === 'HEAD'
    this.#place = 'head'
    this.#keepAlive = false
  }

  /** Throws a `BadResponse`. */
  read(bytes: Buffer): void {
    let rest = bytes
    while (rest.length > 0) {
      if (this.#place === 'idle') {
        // More than was asked for: nobody knows what it is the answer to.
        this.#keepAlive = false
        return
      }
      rest = this.#next(rest)
    }
  }

  /** The connection has ended; false when the answer had not. */
  end(): boolean {
    if (this.#place === 'idle') return true
    if (this.#place !== 'body' || this.#body !== 'until-close') return false
    this.#finish([])
    return true
  }

  #next(bytes: Buffer): Buffer {
    const place = this.#place
    if (place === 'head') return this.#head(bytes)
    if (place === 'body') return this.#bodyPart(bytes)
    if (place === 'chunk-size') return this.#chunkSize(bytes)
    if (place === 'chunk-data') return this.#chunkData(bytes)
    return place === 'chunk-end' ? this.#chunkEnd(bytes) : this.#trailers(bytes)
  }

  /** All up to and with `end`, when it has come; what came before it is kept until then. */
  #upTo(end: string, bytes: Buffer, limit: number): { text: string; rest: Buffer } | undefined {
    const all = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    const at = all.indexOf(end, Math.max(0, this.#pending.length - end.length), 'latin1')
    if (at > limit || (at < 0 && all.length >= limit + end.length))
      throw new BadResponse('The head of the answer is too large')
    if (at < 0) {
      this.#pending = this.#pending.length === 0 ? Buffer.from(bytes) : all
      return undefined
    }
    this.#pending = noBytes
    return { text: all.toString('latin1', 0, at), rest: all.subarray(at + end.length) }
  }

  #head(bytes: Buffer): Buffer {
    const found = this.#upTo('\r\n\r\n', bytes, maxHeadBytes)
    if (found === undefined) return noBytes
    const { text, rest } = found
    const firstEnd = text.indexOf('\r\n')
    const firstLine = firstEnd < 0 ? text : text.slice(0, firstEnd)
    const status = statusOf(firstLine)
    const head: ResponseHead = { status, statusText: firstLine.slice(13), headers: [] }
    const framing = new Framing(firstLine.charCodeAt(7) === 0x31)
    if (firstEnd >= 0) readFields(text, firstEnd + 2, head.headers, framing)
    if (status < 200) {
      if (status === 101) throw new BadResponse('It switched protocols without having been asked to')
      if (status !== 100) this.#listener?.onInformation(head)
      return rest
    }
    if (framing.named !== undefined) head.headers = without(head.headers, framing.named)
    this.#body = this.#bodyOf(status, framing)
    this.#left = framing.length ?? 0
    this.#keepAlive = framing.keepAlive && this.#body !== 'until-close'
    this.#keepAliveSeconds = framing.keepAliveSeconds
    // It has no body, but may send one: that would be taken for the next answer.
    if (status === 204 && (framing.isChunked || this.#left > 0)) this.#keepAlive = false
    this.#place = this.#body === 'chunked' ? 'chunk-size' : 'body'
    this.#listener?.onHead(head)
    if (this.#body === 'none' || (this.#body === 'length' && this.#left === 0)) this.#finish([])
    return rest
  }

  #bodyOf(status: number, framing: Framing): Body {
    if (framing.isChunked && framing.length !== undefined) throw new BadResponse('The answer has two lengths')
    if (this.#isHead || status === 204 || status === 304) return 'none'
    if (framing.isChunked) return 'chunked'
    return framing.length === undefined ? 'until-close' : 'length'
  }

  #bodyPart(bytes: Buffer): Buffer {
    if (this.#body === 'until-close') {
      this.#listener?.onData(bytes, false)
      return noBytes
    }
    const part = bytes.length <= this.#left ? bytes : bytes.subarray(0, this.#left)
    this.#left -= part.length
    const isLast = this.#left === 0
    this.#listener?.onData(part, isLast)
    if (isLast) this.#finish([])
    return part.length === bytes.length ? noBytes : bytes.subarray(part.length)
  }

  #chunkSize(bytes: Buffer): Buffer {
    const found = this.#upTo('\r\n', bytes, maxChunkLineBytes)
    if (found === undefined) return noBytes
    const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n\0]*)?$/.exec(found.text)?.[1]
    if (size === undefined) throw new BadResponse('A chunk of the answer has no valid size')
    this.#left = Number.parseInt(size, 16)
    this.#place = this.#left === 0 ? 'trailers' : 'chunk-data'
    return found.rest
  }

  #chunkData(bytes: Buffer): Buffer {
    const part = bytes.length <= this.#left ? bytes : bytes.subarray(0, this.#left)
    this.#left -= part.length
    if (this.#left === 0) this.#place = 'chunk-end'
    this.#listener?.onData(part, false)
    return bytes.subarray(part.length)
  }

  #chunkEnd(bytes: Buffer): Buffer {
    const found = this.#upTo('\r\n', bytes, 0)
    if (found === undefined) return noBytes
    this.#place = 'chunk-size'
    return found.rest
  }

  #trailers(bytes: Buffer): Buffer {
    // Without trailers an empty line stands where the first one would.
    if (this.#pending.length === 0 && bytes.length >= 2 && bytes[0] === 0x0d && bytes[1] === 0x0a) {
      this.#finish([])
      return bytes.subarray(2)
    }
    if (this.#pending.length === 1 && this.#pending[0] === 0x0d && bytes[0] === 0x0a) {
      this.#pending = noBytes
      this.#finish([])
      return bytes.subarray(1)
    }
    const found = this.#upTo('\r\n\r\n', bytes, maxHeadBytes)
    if (found === undefined) return noBytes
    const trailers: string[] = []
    readFields(found.text, 0, trailers, new Framing(true))
    this.#finish(trailers)
    return found.rest
  }

  #finish(trailers: string[]): void {
    const listener = this.#listener
    this.#place = 'idle'
    this.#listener = undefined
    listener?.onEnd(trailers)
  }
}
