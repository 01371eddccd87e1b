import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { IngressLimits } from './config.ts'
import { type ErrorAnswer, rawError } from './error-answer.ts'
import type { FrontDoor } from './front-door.ts'

/** One port on which applications are served: all of them by host name, or one route's own. */
export class Listener {
  readonly #server: Server
  #closing = false

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (_, response) => {
      response.once('close', this.#onAnswered)
    })
  }

  /** `routePort` is given when the port belongs to one route. */
  static async open(options: {
    host: string
    port: number
    routePort: number | undefined
    door: FrontDoor
    limits: IngressLimits
  }): Promise<Listener> {
    const { host, port, routePort, door, limits } = options
    const server = createServer({
      insecureHTTPParser: false,
      requireHostHeader: true,
      maxHeaderSize: 32 * 1024,
      headersTimeout: limits.headersTimeoutMs,
      // Bodies and answers may take any time as long as they flow.
      requestTimeout: 0,
      keepAliveTimeout: 75_000,
      connectionsCheckingInterval: 5000,
      noDelay: true,
      // Other upgrades (h2c) would open a way past the rules for requests: they are served as plain requests.
      shouldUpgradeCallback: request => request.method === 'GET' && /^websocket$/i.test(request.headers.upgrade ?? ''),
    })
    // More than a limit would be left out without a word; the size bounds them too.
    server.maxHeadersCount = 0
    server.on('request', (request, response) => door.request(request, response, routePort))
    // With a listener of its own the 100 is not sent before an application takes the body.
    server.on('checkContinue', (request, response) => door.request(request, response, routePort))
    server.on('checkExpectation', (request, response) => door.request(request, response, routePort))
    server.on('upgrade', (request: IncomingMessage, _socket: Socket, head: Buffer) =>
      door.upgrade(request, head, routePort),
    )
    server.on('clientError', refuseMalformed)
    server.listen({ host, port, backlog: 4096 })
    await once(server, 'listening')
    return new Listener(server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Takes no more connections; those that are open end with the request they are at. Resolves when all have ended. */
  async close(): Promise<void> {
    this.#closing = true
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    await closed
  }

  /** Else kept-alive connections would stay until their time is over. */
  #onAnswered = () => {
    if (this.#closing) this.#server.closeIdleConnections()
  }

  closeAllConnections(): void {
    this.#server.closeAllConnections()
  }
}

const malformed: Record<string, ErrorAnswer> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'too_large',
    title: 'The headers are too large',
    detail: 'All headers of a request together may have 32 KB. Clearing the cookies of this site often helps.',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'invalid_request',
    title: 'The request took too long',
    detail: 'Its headers did not arrive in time.',
  },
}

/** What is not valid HTTP, two lengths for one body included, never reaches an application. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || socket.bytesWritten > 0) {
    socket.destroy()
    return
  }
  const answer = malformed[error.code ?? ''] ?? {
    status: 400,
    code: 'invalid_request',
    title: 'This request cannot be understood',
    detail: 'It is not valid HTTP/1.1.',
  }
  socket.end(rawError(answer, 'none', undefined))
}
