import { type IncomingMessage, ServerResponse } from 'node:http'
import type { IngressLimits } from './config.ts'
import { answerError, type ErrorAnswer, hasBody } from './error-answer.ts'
import { forwardedHeaders, requestIdOf, type TrustedProxies } from './forwarded-headers.ts'
import { Attempts, ProxiedRequest } from './proxy-request.ts'
import { proxyUpgrade } from './proxy-upgrade.ts'
import { requestHost, requestTarget } from './request-host.ts'
import { countStatus } from './route-counters.ts'
import type { LiveRoute, Routes } from './routes.ts'
import type { SiteServer } from './static/site-server.ts'
import type { WaitingRoom } from './waiting-room.ts'

/** One request on its way, until its connection has the whole answer. */
interface Visit {
  request: IncomingMessage
  response: ServerResponse
  requestId: string
  /** As the client gave it. */
  hostHeader: string
  host: string
  /** The listener's own port, when it belongs to one route. */
  port: number | undefined
  attempts: Attempts
  /** Ends the counting as an active request; there once it has come to a route. */
  endCount: (() => void) | undefined
  /** Of a WebSocket handshake: what came after it. */
  upgradeHead: Buffer | undefined
}

/** Decides what happens to each request by the route table in force, again after every wait and every failed attempt. */
export class FrontDoor {
  readonly #routes: Routes
  readonly #sites: SiteServer
  readonly #waiting: WaitingRoom
  readonly #trustedProxies: TrustedProxies
  readonly #limits: IngressLimits

  constructor(parts: {
    routes: Routes
    sites: SiteServer
    waiting: WaitingRoom
    trustedProxies: TrustedProxies
    limits: IngressLimits
  }) {
    this.#routes = parts.routes
    this.#sites = parts.sites
    this.#waiting = parts.waiting
    this.#trustedProxies = parts.trustedProxies
    this.#limits = parts.limits
  }

  /** `port` is given for a listener that belongs to one route. */
  request(request: IncomingMessage, response: ServerResponse, port?: number): void {
    this.#enter(request, response, port, undefined)
  }

  /** A WebSocket handshake. */
  upgrade(request: IncomingMessage, head: Buffer, port?: number): void {
    const { socket } = request
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    // An answer other than the upgrade ends the connection.
    response.on('finish', () => socket.destroySoon())
    socket.on('error', () => socket.destroy())
    this.#enter(request, response, port, head)
  }

  #enter(request: IncomingMessage, response: ServerResponse, port: number | undefined, head: Buffer | undefined): void {
    const requestId = requestIdOf(request)
    const refusal = refuse(request)
    if (refusal !== undefined) return answerError(request, response, refusal, requestId)
    const target = requestTarget(request)
    if (target === undefined) return answerError(request, response, badTarget, requestId)
    const host = requestHost(target.host)
    if (host === undefined) return answerError(request, response, badHost, requestId)
    // Asked of the server and not of an application (RFC 9112 §3.2.4).
    if (target.path === '*') return void response.writeHead(204, { allow: methods, 'x-request-id': requestId }).end()
    request.url = target.path
    const visit: Visit = {
      request,
      response,
      requestId,
      hostHeader: target.host,
      host: host.name,
      port,
      attempts: new Attempts(),
      endCount: undefined,
      upgradeHead: head,
    }
    if (hasBody(request)) watchBody(request, response, this.#limits.bodyIdleMs)
    this.#serve(visit)
  }

  #serve(visit: Visit): void {
    const { request, response } = visit
    const live = this.#routes.find(visit.host, visit.port)
    if (live === undefined) return this.#fail(visit, unknownHost(visit.host))
    this.#count(visit, live)
    const { target } = live.route
    switch (target.kind) {
      case 'instances':
        return this.#proxy(visit, live)
      case 'static':
        void this.#sites
          .serve(target.siteId, request, response, live.counters)
          .then(error => error !== undefined && this.#fail(visit, error))
          .catch(() => this.#fail(visit, internal))
        return
      case 'sleeping':
        void this.#hold(visit, live.route.deploymentId)
        return
      case 'unavailable':
        return this.#fail(visit, {
          status: 503,
          code: target.code,
          title: 'This application is not available',
          detail: target.message,
          retryAfterS: target.retryAfterS,
        })
    }
  }

  #proxy(visit: Visit, live: LiveRoute): void {
    const { request, response, requestId, attempts } = visit
    const upstream = live.group?.choose(attempts.refusedBy)
    if (upstream === undefined) return this.#fail(visit, nobodyAnswers)
    const headers = forwardedHeaders(request, {
      trustedProxies: this.#trustedProxies,
      requestId,
      host: visit.hostHeader,
    })
    const common = {
      request,
      response,
      headers,
      upstream,
      counters: live.counters,
      attempts,
      retry: () => this.#serve(visit),
      fail: (error: ErrorAnswer) => this.#fail(visit, error),
    }
    if (visit.upgradeHead === undefined) ProxiedRequest.start({ ...common, requestId })
    else
      proxyUpgrade({
        ...common,
        head: visit.upgradeHead,
        answerTimeoutMs: this.#limits.answerTimeoutMs,
        upgraded: () => visit.endCount?.(),
      })
  }

  async #hold(visit: Visit, deploymentId: string): Promise<void> {
    const left = new AbortController()
    const leave = () => left.abort()
    visit.request.socket.once('close', leave)
    const outcome = await this.#waiting.wait(deploymentId, left.signal)
    visit.request.socket.off('close', leave)
    switch (outcome) {
      case 'changed':
        return this.#serve(visit)
      case 'gone':
        visit.response.destroy()
        return
      case 'full':
        return this.#fail(visit, {
          ...stillSleeping,
          detail: 'Too many requests wait for sleeping applications just now.',
        })
      case 'refused':
        return this.#fail(visit, {
          ...stillSleeping,
          detail:
            'It is asleep and could not be woken. Its owner sees why among its deployments, and can start it there.',
        })
      case 'timed-out':
        return this.#fail(visit, stillSleeping)
    }
  }

  #fail({ request, response, requestId }: Visit, error: ErrorAnswer): void {
    answerError(request, response, error, requestId)
  }

  /** Counted once, for the first route it came to. */
  #count(visit: Visit, live: LiveRoute): void {
    if (visit.endCount !== undefined) return
    const { counters } = live
    const { response, request } = visit
    counters.requests++
    counters.activeRequests++
    let ended = false
    visit.endCount = () => {
      if (ended) return
      ended = true
      counters.activeRequests--
      if (response.headersSent) countStatus(counters, response.statusCode)
    }
    if (visit.upgradeHead === undefined) response.once('close', visit.endCount)
    else request.socket.once('close', visit.endCount)
  }
}

/** What is refused whatever the route says. */
function refuse(request: IncomingMessage): ErrorAnswer | undefined {
  const { rawHeaders } = request
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  if (hosts !== 1) return badHost
  if (request.method === 'TRACE' || request.method === 'CONNECT')
    return { ...invalid('This method is not passed on to applications.'), status: 405 }
  return undefined
}

/** The connection ends when a request's body stands still for too long. */
function watchBody(request: IncomingMessage, response: ServerResponse, idleMs: number): void {
  const { socket } = request
  socket.setTimeout(idleMs)
  request.once('end', () => {
    // Once the answer is out, the time is that of an idle connection.
    if (!response.writableFinished) socket.setTimeout(0)
  })
}

const invalid = (detail: string): ErrorAnswer => ({
  status: 400,
  code: 'invalid_request',
  title: 'This request cannot be understood',
  detail,
})
/** What may be asked of the server as a whole; an application's own may be fewer. */
const methods = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'
const badTarget = invalid('The request target is neither a path nor an http URL. This is not a forward proxy.')
const badHost = invalid('It needs exactly one valid Host header.')
const internal: ErrorAnswer = {
  status: 500,
  code: 'internal',
  title: 'Something went wrong here',
  detail: 'The request could not be served. The request id below helps whoever runs this server to find out why.',
}
const nobodyAnswers: ErrorAnswer = {
  status: 502,
  code: 'never_answered',
  title: 'The application does not answer',
  detail: 'No instance of it accepts connections right now. If this is yours, its logs say what happened.',
  retryAfterS: 5,
}
const stillSleeping: ErrorAnswer = {
  status: 503,
  code: 'unavailable',
  title: 'The application is still waking up',
  detail: 'It was asleep and is taking longer than usual to start. Try again in a moment.',
  retryAfterS: 5,
}
const unknownHost = (host: string): ErrorAnswer => ({
  status: 404,
  code: 'not_found',
  title: 'There is no application at this address',
  detail: `Nothing is deployed at ${host}. Check the spelling; if you are the owner, deploy the project or look up its address in the dashboard.`,
})
