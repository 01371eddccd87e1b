import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough } from 'node:stream'
import type { RouteCounters } from '@coderunner/contract'
import type { Dispatcher } from 'undici'
import { type ErrorAnswer, hasBody } from './error-answer.ts'
import { endToEndHeaders } from './forwarded-headers.ts'
import type { Exchange, Upstream } from './upstream.ts'

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
const diedCodes = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED'])

/** What one request has been through, over all its attempts. */
export class Attempts {
  /** Those that refused the connection. */
  readonly refusedBy: Upstream[] = []
  /** The connection died once before a byte of the answer. */
  died = false
  /** The client's body, on its way to the one upstream that begins to read it. */
  body: PassThrough | undefined
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
export class ProxiedRequest implements Exchange, Dispatcher.DispatchHandler {
  readonly kind = 'request'
  readonly #proxying: Proxying
  #controller: Dispatcher.DispatchController | undefined
  #sent = false
  #hasData = false
  /** Why it was given up from this side. */
  #broken: Error | undefined
  #resume = () => this.#controller?.resume()
  #onClose = () => {
    if (this.#proxying.response.writableFinished) return
    this.#broken = new Error('The client closed the connection')
    this.#controller?.abort(this.#broken)
  }

  private constructor(proxying: Proxying) {
    this.#proxying = proxying
  }

  static start(proxying: Proxying): void {
    const { request, response, upstream, attempts, headers } = proxying
    const exchange = new ProxiedRequest(proxying)
    upstream.begin(exchange)
    response.once('close', exchange.#onClose)
    // A stream between, because an upload that the upstream breaks off must not take the client's connection with it.
    if (attempts.body === undefined && hasBody(request)) attempts.body = request.pipe(new PassThrough())
    upstream.pool.dispatch(
      {
        path: request.url as string,
        method: request.method as string,
        headers,
        body: attempts.body ?? null,
        // Else a HEAD would cost its connection.
        ...(request.method === 'HEAD' ? { reset: false } : {}),
      },
      exchange,
    )
  }

  /** Breaks it off: the client sees a connection that ends too early, or an error when nothing was answered yet. */
  cut(): void {
    const { attempts, upstream } = this.#proxying
    attempts.refusedBy.push(upstream)
    this.#broken = Object.assign(new Error('The instance was stopped'), { code: 'UND_ERR_DESTROYED' })
    this.#controller?.abort(this.#broken)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { request, response, attempts } = this.#proxying
    this.#controller = controller
    this.#sent = true
    if (this.#broken !== undefined) controller.abort(this.#broken)
    else if (attempts.body !== undefined && expectsContinue(request) && !response.headersSent) response.writeContinue()
  }

  onBodySent(chunk: Buffer): void {
    this.#proxying.counters.bytesIn += chunk.length
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
    statusText?: string,
  ): void {
    const { response, requestId, upstream } = this.#proxying
    if (status < 200) {
      if (status === 103 && headers['link'] !== undefined) response.writeEarlyHints({ link: headers['link'] })
      else if (status === 102) response.writeProcessing()
      return
    }
    upstream.answered()
    const forwarded = endToEndHeaders(headers)
    forwarded['x-request-id'] ??= requestId
    response.writeHead(status, statusText ?? '', forwarded)
    // Head and body that came together go out together; a body that comes later does not hold up the head.
    queueMicrotask(() => {
      if (!this.#hasData) response.flushHeaders()
    })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { response, counters } = this.#proxying
    this.#hasData = true
    counters.bytesOut += chunk.length
    if (response.write(chunk)) return
    controller.pause()
    response.once('drain', this.#resume)
  }

  onResponseEnd(
    _controller: Dispatcher.DispatchController,
    trailers: Record<string, string | string[] | undefined>,
  ): void {
    const { response } = this.#proxying
    for (const name in trailers) {
      const value = trailers[name]
      if (value !== undefined) response.addTrailers([[name, String(value)]])
    }
    this.#hasData = true
    this.#release()
    response.end()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error & { code?: string }): void {
    const { request, response, upstream, attempts } = this.#proxying
    this.#release()
    if (response.headersSent || response.destroyed) {
      // A cut-off answer must look like one.
      response.destroy()
      return
    }
    if (error.code === 'UND_ERR_INVALID_ARG' || error.code === 'UND_ERR_NOT_SUPPORTED') {
      this.#proxying.fail(unsendable)
      return
    }
    if (!this.#sent) {
      if (this.#broken === undefined) {
        upstream.refused()
        attempts.refusedBy.push(upstream)
      }
      this.#proxying.retry()
      return
    }
    const retriable = attempts.body === undefined && idempotent.has(request.method ?? '')
    if (retriable && !attempts.died && diedCodes.has(error.code ?? '')) {
      attempts.died = true
      this.#proxying.retry()
      return
    }
    this.#proxying.fail(failure(error))
  }

  #release(): void {
    const { request, response, upstream, attempts } = this.#proxying
    upstream.end(this)
    response.off('close', this.#onClose)
    if (this.#sent && attempts.body !== undefined && !request.complete) {
      // What the application did not want is read and thrown away, so that the client gets to reading the answer.
      request.unpipe(attempts.body)
      request.resume()
    }
  }
}

function failure(error: Error & { code?: string }): ErrorAnswer {
  if (error.code === 'UND_ERR_HEADERS_TIMEOUT')
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

const unsendable: ErrorAnswer = {
  status: 400,
  code: 'invalid_request',
  title: 'This request cannot be passed on',
  detail: 'Its path or one of its headers has characters that HTTP does not allow.',
}

const expectsContinue = (request: IncomingMessage) => request.headers.expect?.toLowerCase() === '100-continue'
