/** An ingress of a test's own with real sockets, and applications behind it; all gone when the test has ended. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { newId, type Route, type RouteCounters, type RouteTarget } from '@coderunner/contract'
import pino from 'pino'
import { Agent, type Dispatcher, request } from 'undici'
import { defaultLimits, type IngressConfig, type IngressLimits, readConfig } from './config.ts'
import { Ingress } from './ingress.ts'

export const deploymentId = newId()

export interface TestIngress {
  port: number
  config: IngressConfig
  /** An order of the server. */
  order(method: Dispatcher.HttpMethod, path: string, body?: unknown): Promise<{ status: number; body: unknown }>
  /** Puts a table in force that serves `app.localhost`, or these routes. */
  route(target: RouteTarget | Route[]): Promise<void>
  counters(): Promise<RouteCounters>
  get(path: string, headers?: Record<string, string>, method?: Dispatcher.HttpMethod): Promise<TestAnswer>
  /** Sends these bytes and resolves to all that comes back before the connection ends. */
  raw(text: string): Promise<string>
  /** Ends it and starts it again on the same data. */
  restart(): Promise<void>
  stop(): Promise<void>
}
export interface TestAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

export async function testIngress(
  t: TestContext,
  options: { env?: Record<string, string>; limits?: Partial<IngressLimits> } = {},
): Promise<TestIngress> {
  const directory = await mkdtemp(path.join(tmpdir(), 'ingress-'))
  const socketPath = path.join(directory, 'control.sock')
  const config = {
    ...readConfig({
      CODERUNNER_APPS_PORT: '0',
      CODERUNNER_INGRESS_DATA: path.join(directory, 'data'),
      CODERUNNER_INGRESS_SOCKET: socketPath,
      CODERUNNER_SERVER_SOCKET: path.join(directory, 'server.sock'),
      ...options.env,
    }),
    limits: { ...defaultLimits, shutdownMs: 1000, ...options.limits },
  }
  const logger = pino({ level: 'silent' })
  let ingress: Ingress | undefined = await Ingress.start(config, logger)
  let version = 0
  const control = new Agent({ connect: { socketPath } })
  const stop = async () => {
    await ingress?.[Symbol.asyncDispose]()
    ingress = undefined
  }
  t.after(async () => {
    await control.destroy()
    await stop()
    await rm(directory, { recursive: true })
  })
  const harness: TestIngress = {
    config,
    get port() {
      return ingress?.appsPort ?? 0
    },
    async order(method, path, body) {
      const raw = Buffer.isBuffer(body) ? body : body === undefined ? null : JSON.stringify(body)
      const answer = await request(`http://ingress${path}`, { dispatcher: control, method, body: raw })
      const text = await answer.body.text()
      return { status: answer.statusCode, body: text === '' ? undefined : JSON.parse(text) }
    },
    async route(target) {
      const routes = Array.isArray(target) ? target : [appRoute(target)]
      const { status, body } = await harness.order('PUT', '/routes', { version: ++version, routes })
      if (status !== 204) throw new Error(JSON.stringify(body))
    },
    async counters() {
      const { body } = await harness.order('GET', '/counters')
      const all = (body as { counters: RouteCounters[] }).counters
      return all.find(counters => counters.deploymentId === deploymentId) as RouteCounters
    },
    async get(path, headers = {}, method = 'GET') {
      const url = `http://127.0.0.1:${harness.port}${path}`
      const answer = await request(url, { method, headers: { host: 'app.localhost', ...headers } })
      return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
    },
    raw: text => exchange(harness.port, text),
    async restart() {
      await stop()
      ingress = await Ingress.start(config, logger)
    },
    stop,
  }
  return harness
}

export const appRoute = (target: RouteTarget, more: Partial<Route> = {}): Route => ({
  hosts: ['app.localhost'],
  project: 'app',
  deploymentId,
  target,
  ...more,
})

export interface TestApp {
  port: number
  server: Server
  instanceId: string
  /** Connections it has accepted. */
  connections: Set<Socket>
  accepted: number
  stop(): Promise<void>
}

/** An application: a real HTTP server on a port of its own. */
export async function testApp(t: TestContext, listener: RequestListener, port = 0): Promise<TestApp> {
  const server = createServer(listener)
  const connections = new Set<Socket>()
  const app: TestApp = {
    port: 0,
    server,
    instanceId: newId(),
    connections,
    accepted: 0,
    stop: async () => {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      for (const socket of connections) socket.destroy()
      await closed
    },
  }
  server.on('connection', (socket: Socket) => {
    app.accepted++
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  app.port = (server.address() as AddressInfo).port
  t.after(() => app.stop())
  return app
}

export const instances = (...apps: Pick<TestApp, 'instanceId' | 'port'>[]): RouteTarget => ({
  kind: 'instances',
  upstreams: apps.map(({ instanceId, port }) => ({ instanceId, host: '127.0.0.1', port })),
})

export async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.setTimeout(3000, () => socket.destroy())
  let answer = ''
  socket.on('data', chunk => (answer += chunk.toString('latin1')))
  socket.on('error', () => {})
  socket.write(text, 'latin1')
  await once(socket, 'close')
  return answer
}
