import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { AppError, newId, type Problem, type RouteCounters, type RouteTable, StaticSite } from '@coderunner/contract'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { routeTable } from './route-file.ts'
import type { SiteStore } from './static/site-store.ts'

const maxBodyBytes = 64 * 1024 * 1024

const staticSite = Compile(StaticSite)
const drainOrder = Compile(
  Type.Object({
    instanceId: Type.String({ maxLength: 200 }),
    timeoutMs: Type.Integer({ minimum: 0, maximum: 3_600_000 }),
  }),
)

/** What the server can order. */
export interface IngressControl {
  /** Throws a `conflict` for a table older than the one in force. */
  setRoutes(table: RouteTable): Promise<void>
  /** True when nothing was going on with the instance before the time was over; what went on then was cut. */
  drain(instanceId: string, timeoutMs: number): Promise<boolean>
  counters(): RouteCounters[]
  sites: SiteStore
  /** Told of failures that are nobody's fault but ours. */
  onError(error: unknown): void
}

/** A compiled schema of `T`. */
interface Compiled<T> {
  Check(value: unknown): value is T
  Errors(value: unknown): { instancePath: string; message: string }[]
}
type Answer = { status: 204 | 404 } | { status: 200; body: unknown }
type Handler = (request: IncomingMessage, parameters: string[]) => Promise<Answer>

/** HTTP on a unix socket; who may open it is decided by the directory it lies in. */
export async function startControlServer(socket: string, control: IngressControl): Promise<Server> {
  const routes = controlRoutes(control)
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
    void answer(routes, request, response, control)
  })
  await rm(socket, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, () => resolve())
  })
  await chmod(socket, 0o660)
  return server
}

function controlRoutes(control: IngressControl): { method: string; path: RegExp; handle: Handler }[] {
  const { sites } = control
  const site = '([a-z0-9]{20})'
  const route = (method: string, path: string, handle: Handler) => ({ method, path: new RegExp(`^${path}$`), handle })
  return [
    route('PUT', '/routes', async request => {
      await control.setRoutes(await readJson(request, routeTable))
      return { status: 204 }
    }),
    route('POST', '/drain', async request => {
      const { instanceId, timeoutMs } = await readJson(request, drainOrder)
      return { status: 200, body: { drained: await control.drain(instanceId, timeoutMs) } }
    }),
    route('GET', '/counters', async () => ({ status: 200, body: { counters: control.counters() } })),
    route('GET', `/sites/${site}`, async (_, [id = '']) => ({ status: (await sites.has(id)) ? 204 : 404 })),
    route('PUT', `/sites/${site}/blobs/([0-9a-f]{64})`, async (request, [, hash = '']) => {
      await sites.putBlob(hash, request)
      return { status: 204 }
    }),
    route('PUT', `/sites/${site}`, async (request, [id = '']) => {
      const missing = await sites.publish(id, await readJson(request, staticSite))
      return missing.length > 0 ? { status: 200, body: { missing } } : { status: 204 }
    }),
    route('DELETE', `/sites/${site}`, async (_, [id = '']) => {
      await sites.remove(id)
      return { status: 204 }
    }),
  ]
}

async function answer(
  routes: ReturnType<typeof controlRoutes>,
  request: IncomingMessage,
  response: ServerResponse,
  control: IngressControl,
): Promise<void> {
  try {
    const route = routes.find(({ method, path }) => method === request.method && path.test(request.url ?? ''))
    if (route === undefined) throw new AppError('not_found', `There is no ${request.method} ${request.url}.`)
    const result = await route.handle(request, route.path.exec(request.url ?? '')?.slice(1) ?? [])
    if (result.status === 200) sendJson(response, 200, 'application/json', result.body)
    else if (result.status === 404) throw new AppError('not_found', 'There is no such site.')
    else response.writeHead(204).end()
  } catch (error) {
    if (!(error instanceof AppError)) control.onError(error)
    sendProblem(response, error)
  }
}

function sendProblem(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const expected = error instanceof AppError ? error : new AppError('internal', 'The ingress could not do this.')
  const problem: Problem = {
    type: 'about:blank',
    title: expected.code,
    status: expected.status,
    code: expected.code,
    detail: expected.message,
    requestId: newId(),
    ...(expected.details.length > 0 ? { errors: expected.details } : {}),
  }
  sendJson(response, expected.status, 'application/problem+json', problem)
}

function sendJson(response: ServerResponse, status: number, type: string, body: unknown): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text)
}

async function readJson<T>(request: IncomingMessage, schema: Compiled<T>): Promise<T> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBodyBytes) throw new AppError('too_large', 'The body may have 64 MB at most.')
    chunks.push(chunk)
  }
  let value: unknown
  try {
    value = JSON.parse(Buffer.concat(chunks).toString())
  } catch (cause) {
    throw new AppError('invalid_request', 'The body is not JSON.', { cause })
  }
  if (schema.Check(value)) return value
  const details = schema.Errors(value).slice(0, 20)
  throw new AppError('invalid_request', 'The body does not have the form it should have.', {
    details: details.map(({ instancePath, message }) => ({ path: instancePath, message })),
  })
}
