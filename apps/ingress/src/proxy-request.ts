import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RouteCounters } from '@coderunner/contract'
import { type ErrorAnswer, hasBody } from './error-answer.ts'
import { setsSessionCookie } from './forwarded-headers.ts'
import { AnswerTimeout, type Connection, type ExchangeListener } from './upstream/connection.ts'
import type { ResponseHead } from './upstream/response-reader.ts'
import type { Exchange, Upstream } from './upstream.ts'

const diedCodes = new Set(['ECONNRESET', 'EPIPE'])
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
/** Servers expect a length of these, also of nothing. */
const haveLength = new Set(['POST', 'PUT', 'PATCH'])

/** What one request has been through, over all its attempts. */
export class Attempts {
  /** Those that refused the connection. */
  readonly refusedBy: Upstream[] = []
  /** The connection died once before a byte of the answer. */
  died = false
}

export interface Proxying {
  request: IncomingMessage
  response: ServerResponse
  requestId: string
  /** For the upstream, as `forwardedHeaders` makes them. */
  headers: string[]
  upstream: Upstream
  counters: RouteCounters
  attempts: Attempts
  /** Looks the route up again and goes on with what it says now. */
  retry(): void
  fail(error: ErrorAnswer): void
}

/**
 * One attempt to have a request answered by an upstream, streaming both ways. Nothing is buffered: what the slower side
 * does not take is not read from the faster one.
 *
 * A request is given to another upstream when the connection was refused, and once more when a kept-alive connection died
 * under it before a byte of the answer, provided it is idempotent and has no body. So no request is lost when instances
 * are replaced.
 */
export class ProxiedRequest implements Exchange, ExchangeListener {
  readonly kind = 'request'
  readonly #proxying: Proxying
  #connection: Connection | undefined
  readonly #hasBody: boolean
  #sent = false
  #hasAnswer = false
  #isHeadHeld = false
  #isPaused = false
  /** Ended from this side. */
  #isCut = false

  private constructor(proxying: Proxying, withBody: boolean) {
    this.#proxying = proxying
    this.#hasBody = withBody
  }

  static start(proxying: Proxying): void {
    const { request, response, upstream } = proxying
    if (unsendablePath.test(request.url as string)) {
      proxying.fail(unsendable)
      return
    }
    const withBody = hasBody(request)
    const exchange = new ProxiedRequest(proxying, withBody)
    upstream.begin(exchange)
    response.once('close', exchange.#onClose)
    const isChunked = withBody && request.headers['transfer-encoding'] !== undefined
    exchange.#connection = upstream.pool.send(
      {
        method: request.method as string,
        head: headOf(proxying, isChunked),
        body: withBody ? request : undefined,
        isChunked,
      },
      exchange,
    )
  }

  /** Breaks it off: the client sees a connection that ends too early, or an error when nothing was answered yet. */
  cut(): void {
    const { attempts, upstream } = this.#proxying
    attempts.refusedBy.push(upstream)
    this.#isCut = true
    this.#connection?.destroy(Object.assign(new Error('The instance was stopped'), { code: 'ECONNRESET' }))
  }

  onSent(): void {
    const { request, response } = this.#proxying
    this.#sent = true
    if (this.#hasBody && expectsContinue(request) && !response.headersSent) response.writeContinue()
  }

  onBodySent(bytes: number): void {
    this.#proxying.counters.bytesIn += bytes
  }

  onInformation({ status, headers }: ResponseHead): void {
    const { response } = this.#proxying
    if (status === 102) response.writeProcessing()
    if (status !== 103) return
    const links = headers.filter((_, index) => index % 2 === 1 && headers[index - 1]?.toLowerCase() === 'link')
    if (links.length > 0) response.writeEarlyHints({ link: links })
  }

  onHead({ status, statusText, headers }: ResponseHead): void {
    const { response, requestId, upstream } = this.#proxying
    this.#hasAnswer = true
    upstream.answered()
    let hasRequestId = false
    for (let i = headers.length - 2; i >= 0; i -= 2) {
      const name = headers[i] as string
      if (setsSessionCookie(name, headers[i + 1] as string)) headers.splice(i, 2)
      else if (name.length === 12 && name.toLowerCase() === 'x-request-id') hasRequestId = true
    }
    if (!hasRequestId) headers.push('X-Request-Id', requestId)
    response.writeHead(status, statusText, headers)
    this.#isHeadHeld = true
  }

  onData(bytes: Buffer, isLast: boolean): void {
    const { response, counters } = this.#proxying
    this.#isHeadHeld = false
    counters.bytesOut += bytes.length
    // The reader's bytes are there for the moment only.
    const copy = Buffer.from(bytes)
    if (isLast) response.end(copy)
    else if (!response.write(copy) && !this.#isPaused) {
      this.#isPaused = true
      this.#connection?.pause()
      response.once('drain', this.#onDrain)
    }
  }

  /** Head and body that came together go out together; a body that comes later does not hold up the head. */
  onPause(): void {
    if (!this.#isHeadHeld) return
    this.#isHeadHeld = false
    this.#proxying.response.flushHeaders()
  }

  onEnd(trailers: string[]): void {
    const { response } = this.#proxying
    for (let i = 0; i < trailers.length; i += 2) addTrailer(response, trailers[i] as string, trailers[i + 1] as string)
    this.#release()
    if (!response.writableEnded) response.end()
  }

  onError(error: Error & { code?: string; syscall?: string }): void {
    const { request, response, upstream, attempts } = this.#proxying
    this.#release()
    if (response.headersSent || response.destroyed) {
      // A cut-off answer must look like one.
      response.destroy()
      return
    }
    if (!this.#sent) {
      if (!this.#isCut) {
        upstream.refused()
        attempts.refusedBy.push(upstream)
      }
      this.#proxying.retry()
      return
    }
    const retriable = !this.#hasBody && idempotent.has(request.method ?? '')
    if (retriable && !attempts.died && !this.#hasAnswer && diedCodes.has(error.code ?? '')) {
      attempts.died = true
      this.#proxying.retry()
      return
    }
    this.#proxying.fail(failure(error))
  }

  #onDrain = (): void => {
    this.#isPaused = false
    this.#connection?.resume()
  }

  #onClose = (): void => {
    if (!this.#proxying.response.writableFinished) this.#connection?.destroy()
  }

  #release(): void {
    const { response, upstream } = this.#proxying
    this.#connection = undefined
    upstream.end(this)
    response.off('close', this.#onClose)
  }
}

/** The request's head as it goes out. Every name and value of it has passed the HTTP parser of this side. */
function headOf({ request, headers }: Proxying, isChunked: boolean): string {
  let head = `${request.method} ${request.url} HTTP/1.1\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`
  if (isChunked) head += 'Transfer-Encoding: chunked\r\n'
  else if (haveLength.has(request.method as string) && request.headers['content-length'] === undefined)
    head += 'Content-Length: 0\r\n'
  return `${head}\r\n`
}

function addTrailer(response: ServerResponse, name: string, value: string): void {
  if (setsSessionCookie(name, value)) return
  try {
    response.addTrailers([[name, value]])
  } catch {
    // It has characters that may not be sent: the answer is whole without it.
  }
}

function failure(error: Error & { code?: string }): ErrorAnswer {
  if (error instanceof AnswerTimeout)
    return {
      status: 504,
      code: 'never_answered',
      title: 'The application took too long to answer',
      detail: 'It accepted the request and sent no answer in time. Its logs say what it was doing.',
    }
  return {
    status: 502,
    code: 'never_answered',
    title: 'The application broke off',
    detail: 'It closed the connection or sent something that is not HTTP before answering. Its logs say why.',
  }
}

/** Spaces, control characters and what has no place in latin1. */
const unsendablePath = /[^\u0021-\u00ff]/
const unsendable: ErrorAnswer = {
  status: 400,
  code: 'invalid_request',
  title: 'This request cannot be passed on',
  detail: 'Its path has characters that HTTP does not allow.',
}

const expectsContinue = (request: IncomingMessage) => request.headers.expect?.toLowerCase() === '100-continue'
