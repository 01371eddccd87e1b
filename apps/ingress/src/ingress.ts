import { mkdir } from 'node:fs/promises'
import type { Server } from 'node:http'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError, type RouteTable } from '@coderunner/contract'
import type { Logger } from 'pino'
import type { IngressConfig } from './config.ts'
import { startControlServer } from './control-server.ts'
import { TrustedProxies } from './forwarded-headers.ts'
import { FrontDoor } from './front-door.ts'
import { Listener } from './listener.ts'
import { Counters } from './route-counters.ts'
import { loadRoutes, saveRoutes } from './route-file.ts'
import { Routes } from './routes.ts'
import { SiteServer } from './static/site-server.ts'
import { SiteStore } from './static/site-store.ts'
import { WaitingRoom } from './waiting-room.ts'

/**
 * The applications' front door. It serves by the last table it was given, also when the server is not there and after a
 * restart of its own.
 */
export class Ingress implements AsyncDisposable {
  readonly #config: IngressConfig
  readonly #logger: Logger
  readonly #counters = new Counters()
  readonly #routes: Routes
  readonly #waiting: WaitingRoom
  readonly #sites: SiteStore
  readonly #door: FrontDoor
  readonly #listeners = new Map<number, Listener>()
  #appsListener: Listener | undefined
  #control: Server | undefined
  #changing: Promise<void> = Promise.resolve()

  private constructor(config: IngressConfig, logger: Logger, sites: SiteStore) {
    const { limits, trustedProxies } = config
    this.#config = config
    this.#logger = logger
    this.#sites = sites
    this.#routes = new Routes({ counters: this.#counters, answerTimeoutMs: limits.answerTimeoutMs })
    this.#waiting = new WaitingRoom({
      serverSocket: config.serverSocket,
      capacity: limits.heldRequests,
      timeoutMs: limits.wakeTimeoutMs,
    })
    this.#door = new FrontDoor({
      routes: this.#routes,
      sites: new SiteServer(sites),
      waiting: this.#waiting,
      trustedProxies: new TrustedProxies(trustedProxies),
      limits,
    })
  }

  static async start(config: IngressConfig, logger: Logger): Promise<Ingress> {
    await mkdir(config.dataDirectory, { recursive: true, mode: 0o700 })
    const ingress = new Ingress(config, logger, await SiteStore.open(config.dataDirectory))
    try {
      await ingress.#open()
    } catch (error) {
      await ingress[Symbol.asyncDispose]()
      throw error
    }
    return ingress
  }

  /** The port on which applications are served by host name. */
  get appsPort(): number {
    return this.#appsListener?.port ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#control?.close()
    this.#control?.closeAllConnections()
    await this.#changing
    const listeners = [...this.#listeners.values(), ...(this.#appsListener === undefined ? [] : [this.#appsListener])]
    const closed = Promise.all(listeners.map(listener => listener.close()))
    await this.#waiting[Symbol.asyncDispose]()
    // Clients of WebSockets connect again at once; requests may end by themselves.
    for (const upstream of this.#routes.allUpstreams())
      for (const exchange of upstream.exchanges) if (exchange.kind === 'websocket') exchange.cut()
    const over = new AbortController()
    const inTime = delay(this.#config.limits.shutdownMs, undefined, { signal: over.signal }).catch(() => {})
    await Promise.race([Promise.all([closed, ...this.#routes.allUpstreams().map(upstream => upstream.idle())]), inTime])
    over.abort()
    for (const upstream of this.#routes.allUpstreams()) for (const exchange of upstream.exchanges) exchange.cut()
    for (const listener of listeners) listener.closeAllConnections()
    await closed
    this.#routes.close()
  }

  async #open(): Promise<void> {
    const { host, appsPort, limits, controlSocket } = this.#config
    const table = await loadRoutes(this.#routeFile).catch(error => {
      this.#logger.error(
        { err: error },
        'The stored routes cannot be read: nothing is served before the server sends new ones',
      )
      return undefined
    })
    if (table !== undefined) await this.#apply(table)
    this.#appsListener = await Listener.open({ host, port: appsPort, routePort: undefined, door: this.#door, limits })
    this.#control = await startControlServer(controlSocket, {
      setRoutes: table => this.#setRoutes(table),
      drain: (instanceId, timeoutMs) => this.#drain(instanceId, timeoutMs),
      counters: () => this.#counters.all(),
      sites: this.#sites,
      onError: error => this.#logger.error({ err: error }, 'An order of the server failed'),
    })
    this.#logger.info({ port: this.appsPort, routesVersion: this.#routes.version }, 'Applications are served')
  }

  get #routeFile(): string {
    return path.join(this.#config.dataDirectory, 'routes.json')
  }

  async #setRoutes(table: RouteTable): Promise<void> {
    const change = this.#changing.then(async () => {
      if (table.version < this.#routes.version)
        throw new AppError(
          'conflict',
          `Version ${table.version} is older than ${this.#routes.version}, which is in force.`,
        )
      await saveRoutes(this.#routeFile, table)
      await this.#apply(table)
    })
    this.#changing = change.catch(() => {})
    await change
  }

  /** The table is in force, with its ports open, when this resolves. */
  async #apply(table: RouteTable): Promise<void> {
    this.#routes.replace(table)
    const sleeping = table.routes.filter(({ target }) => target.kind === 'sleeping')
    this.#waiting.release(new Set(sleeping.map(({ deploymentId }) => deploymentId)))
    const wanted = new Set(this.#routes.ports)
    for (const [port, listener] of this.#listeners) {
      if (wanted.has(port)) continue
      this.#listeners.delete(port)
      // Ends with its last connection, which may take long.
      void listener.close()
    }
    for (const port of wanted) if (!this.#listeners.has(port)) await this.#openPort(port)
  }

  /** A port that somebody else has must not keep the other routes from being served. */
  async #openPort(port: number): Promise<void> {
    const { host, limits } = this.#config
    try {
      this.#listeners.set(port, await Listener.open({ host, port, routePort: port, door: this.#door, limits }))
    } catch (error) {
      this.#logger.error({ err: error, port }, 'The port of a project cannot be opened')
    }
  }

  async #drain(instanceId: string, timeoutMs: number): Promise<boolean> {
    const upstreams = this.#routes.upstreamsOf(instanceId)
    for (const upstream of upstreams) upstream.draining = true
    const idle = Promise.all(upstreams.map(upstream => upstream.idle())).then(() => true)
    const over = new AbortController()
    const timeout = delay(timeoutMs, false, { signal: over.signal }).catch(() => false)
    const drained = await Promise.race([idle, timeout])
    over.abort()
    if (drained) return true
    for (const upstream of upstreams) for (const exchange of upstream.exchanges) exchange.cut()
    await idle
    return false
  }
}
