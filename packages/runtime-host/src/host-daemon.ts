/**
 * Serves a host provider on a unix socket, for the one user who may connect. A dropped connection ends what it was
 * reading, never a sandbox.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, chownSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError } from '@coderunner/contract'
import { LayerNotFoundError, type Sandbox, SandboxFailedError, SandboxNotFoundError } from '@coderunner/runtime'
import type { Static, TSchema } from 'typebox'
import { Value } from 'typebox/value'
import type { HostProvider } from './host-provider.ts'
import type { HostSandbox } from './host-sandbox.ts'
import {
  acknowledgeBody,
  BODY_BYTES,
  captureBody,
  createBody,
  fenceBody,
  outputQuery,
  stopBody,
  type WireProblem,
  type WireSandbox,
} from './host-wire.ts'
import { encodeLines } from './json-lines.ts'

export interface HostDaemonOptions {
  provider: HostProvider
  /** In a directory that only who may connect can enter. */
  socketPath: string
  /** Owner of the socket. */
  uid: number
  gid: number
  /** Failures that are no answer to a request's own mistake. */
  onError?: (error: unknown) => void
}

interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  url: URL
  /** What the path's parentheses caught. */
  params: readonly string[]
  /** The connection has been dropped, or the daemon ends. */
  signal: AbortSignal
}

interface Route {
  method: string
  path: RegExp
  /** What it resolves with is the answer; nothing means it has answered itself, or 204. */
  handle: (exchange: Exchange) => Promise<unknown>
}

export class HostDaemon implements AsyncDisposable {
  readonly #provider: HostProvider
  readonly #onError: (error: unknown) => void
  readonly #server: Server
  readonly #ending = new AbortController()

  private constructor({ provider, onError = () => {} }: HostDaemonOptions) {
    this.#provider = provider
    this.#onError = onError
    this.#server = createServer({ requestTimeout: 0 }, (request, response) => void this.#answer(request, response))
  }

  static async start(options: HostDaemonOptions): Promise<HostDaemon> {
    const daemon = new HostDaemon(options)
    const { socketPath, uid, gid } = options
    rmSync(socketPath, { force: true })
    daemon.#server.listen(socketPath)
    await once(daemon.#server, 'listening')
    chmodSync(socketPath, 0o600)
    chownSync(socketPath, uid, gid)
    return daemon
  }

  /** The provider and its sandboxes run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  readonly #routes: readonly Route[] = [
    this.#route('POST', '/sandboxes', createBody, async ({ spec, fence }) =>
      wireSandbox((await this.#provider.create(spec as Parameters<HostProvider['create']>[0], fence)) as HostSandbox),
    ),
    { method: 'GET', path: /^\/sandboxes$/, handle: async () => this.#list() },
    this.#read('/sandboxes/:', async id => wireSandbox(await this.#sandbox(id))),
    this.#route('POST', '/sandboxes/:/stop', stopBody, async ({ fence, graceMs }, id) =>
      (await this.#sandbox(id)).stop(fence, { graceMs }),
    ),
    this.#route('POST', '/sandboxes/:/pause', fenceBody, async ({ fence }, id) =>
      (await this.#sandbox(id)).pause(fence),
    ),
    this.#route('POST', '/sandboxes/:/resume', fenceBody, async ({ fence }, id) =>
      (await this.#sandbox(id)).resume(fence),
    ),
    this.#route('POST', '/sandboxes/:/destroy', fenceBody, async ({ fence }, id) => this.#provider.destroy(id, fence)),
    this.#route('POST', '/sandboxes/:/capture', captureBody, async ({ fence, layerId }, id) =>
      this.#provider.captureLayer(id, layerId, fence),
    ),
    { method: 'GET', path: pattern('/sandboxes/:/output'), handle: exchange => this.#output(exchange) },
    this.#route('POST', '/sandboxes/:/output/acknowledge', acknowledgeBody, async ({ offset }, id) =>
      (await this.#sandbox(id)).acknowledgeOutput(offset),
    ),
    this.#read('/sandboxes/:/ports', async id => (await this.#sandbox(id)).ports()),
    this.#read('/sandboxes/:/usage', async id => (await this.#sandbox(id)).usage()),
    { method: '*', path: /^\/sandboxes\/([^/]+)\/agent(\/.*)$/, handle: exchange => this.#handOn(exchange) },
    { method: 'GET', path: /^\/layers$/, handle: async () => this.#provider.listLayers() },
    this.#read('/layers/:', async id => {
      const layer = await this.#provider.layer(id)
      if (layer === undefined) throw new LayerNotFoundError(id)
      return layer
    }),
    {
      method: 'DELETE',
      path: pattern('/layers/:'),
      handle: async ({ params: [id = ''] }) => this.#provider.removeLayer(id),
    },
    { method: 'GET', path: /^\/events$/, handle: exchange => this.#events(exchange) },
    { method: 'GET', path: /^\/diagnosis$/, handle: async () => this.#provider.diagnose() },
  ]

  #read(path: string, handle: (id: string) => Promise<unknown>): Route {
    return { method: 'GET', path: pattern(path), handle: ({ params: [id = ''] }) => handle(id) }
  }

  #route<Body extends TSchema>(
    method: string,
    path: string,
    body: Body,
    handle: (body: Static<Body>, id: string) => Promise<unknown>,
  ): Route {
    return {
      method,
      path: pattern(path),
      handle: async ({ request, params: [id = ''] }) => handle(checked(body, await readJson(request)), id),
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const dropped = new AbortController()
    response.once('close', () => dropped.abort())
    const signal = AbortSignal.any([dropped.signal, this.#ending.signal])
    try {
      const url = new URL(request.url ?? '/', 'http://host')
      const route = this.#routes.find(({ method, path }) => {
        return (method === '*' || method === request.method) && path.test(url.pathname)
      })
      if (route === undefined) throw new AppError('not_found', `There is no ${request.method} ${url.pathname}.`)
      const params = (route.path.exec(url.pathname) ?? []).slice(1)
      const answer = await route.handle({ request, response, url, params, signal })
      if (response.headersSent) return
      if (answer === undefined) response.writeHead(204).end()
      else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    } catch (error) {
      this.#fail(error, response, signal)
    }
  }

  #fail(error: unknown, response: ServerResponse, signal: AbortSignal): void {
    if (!(error instanceof AppError) || error.cause !== undefined) {
      if (!signal.aborted) this.#onError(error)
    }
    if (response.headersSent) {
      // What has begun well cannot become an error: the reader sees it cut off.
      response.destroy()
      return
    }
    const told = error instanceof AppError ? error : new AppError('internal', 'The host daemon failed.')
    const problem: WireProblem = {
      name: told.name,
      type: `urn:coderunner:${told.code}`,
      title: told.code,
      status: told.status,
      code: told.code,
      detail: told.message,
      requestId: randomUUID(),
      ...(told.details.length === 0 ? {} : { errors: told.details }),
    }
    response
      .writeHead(told.status, { 'content-type': 'application/problem+json', connection: 'close' })
      .end(JSON.stringify(problem))
  }

  async #list(): Promise<WireSandbox[]> {
    const found = await Promise.all((await this.#provider.list()).map(({ id }) => this.#provider.get(id)))
    return found.flatMap(sandbox => (sandbox === undefined ? [] : wireSandbox(sandbox)))
  }

  async #sandbox(id: string): Promise<HostSandbox> {
    const sandbox = await this.#provider.get(id)
    if (sandbox === undefined) throw new SandboxNotFoundError(id)
    return sandbox
  }

  async #output({ url, params: [id = ''], response, signal }: Exchange): Promise<void> {
    const { offset } = checked(outputQuery, { offset: Number(url.searchParams.get('offset') ?? 0) })
    const sandbox: Sandbox = await this.#sandbox(id)
    await stream(response, sandbox.output({ offset, signal }), signal)
  }

  async #events({ response, signal }: Exchange): Promise<void> {
    await stream(response, this.#provider.events(signal), signal)
  }

  async #handOn({ request, response, url, params: [id = '', path = '/'], signal }: Exchange): Promise<void> {
    const { agentDispatcher } = await this.#sandbox(id)
    const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0
    const answer = await agentDispatcher
      .request({
        origin: 'http://agent',
        method: request.method as 'GET',
        path: `${path}${url.search}`,
        headers: endToEnd(request.headers),
        body: hasBody ? request : null,
        headersTimeout: 0,
        bodyTimeout: 0,
        signal,
      })
      .catch((cause: unknown) => {
        throw new SandboxFailedError('The sandbox’s agent does not answer.', { cause })
      })
    response.writeHead(answer.statusCode, endToEnd(answer.headers))
    response.flushHeaders()
    await pipeline(answer.body, response).catch(() => {}) // whichever side went, the other has been cut off with it
  }
}

const pattern = (path: string): RegExp => new RegExp(`^${path.replaceAll('/:', '/([^/]+)')}$`)

const wireSandbox = (sandbox: HostSandbox): WireSandbox => {
  const info = sandbox.describe()
  return { info: { ...info, createdAt: info.createdAt.toISOString() }, mainKind: sandbox.record.spec.main.kind }
}

/** The headers go out at once: whoever asked is registered by then. */
async function stream(response: ServerResponse, values: AsyncIterable<unknown>, signal: AbortSignal): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  try {
    await pipeline(Readable.from(encodeLines(values)), response)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'host',
  'expect',
  'te',
  'trailer',
])

function endToEnd(headers: Record<string, string | string[] | undefined>): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name)) kept[name] = value
  }
  return kept
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > BODY_BYTES) throw new AppError('too_large', `The order is longer than ${BODY_BYTES} bytes.`)
    parts.push(part)
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (cause) {
    throw new AppError('invalid_request', 'The order is not JSON.', { cause })
  }
}

function checked<Schema extends TSchema>(schema: Schema, value: unknown): Static<Schema> {
  if (Value.Check(schema, value)) return value
  const details = Value.Errors(schema, value)
    .slice(0, 10)
    .map(({ instancePath, message }) => ({ path: instancePath, message }))
  const first = details.map(({ path, message }) => `${path} ${message}`).join('; ')
  throw new AppError('invalid_request', `The order cannot be read: ${first}`, { details })
}
