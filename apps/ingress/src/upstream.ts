import { ConnectionPool } from './upstream/connection-pool.ts'

/** Something going on with an upstream that a drain waits for and can cut at its end. */
export interface Exchange {
  kind: 'request' | 'websocket'
  cut(): void
}

const firstPauseMs = 250
const longestPauseMs = 5000

/**
 * One address of one instance: its connections, what is going on with it, and whether it refused lately. One that refused
 * connections rests for a moment (0.25 s, doubling to 5 s) as long as there are others.
 */
export class Upstream {
  readonly instanceId: string
  readonly host: string
  readonly port: number
  readonly pool: ConnectionPool
  readonly exchanges = new Set<Exchange>()
  draining = false
  #restsUntil = 0
  #pauseMs = 0
  #retired = false
  #whenIdle: (() => void)[] = []

  constructor(options: { instanceId: string; host: string; port: number; answerTimeoutMs: number }) {
    this.instanceId = options.instanceId
    this.host = options.host
    this.port = options.port
    this.pool = new ConnectionPool({
      host: options.host,
      port: options.port,
      connectTimeoutMs: 5000,
      answerTimeoutMs: options.answerTimeoutMs,
    })
  }

  get resting(): boolean {
    return this.#restsUntil > Date.now()
  }

  answered(): void {
    this.#pauseMs = 0
  }

  refused(): void {
    if (this.resting) return
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, firstPauseMs), longestPauseMs)
    this.#restsUntil = Date.now() + this.#pauseMs
  }

  begin(exchange: Exchange): void {
    this.exchanges.add(exchange)
  }

  end(exchange: Exchange): void {
    this.exchanges.delete(exchange)
    if (this.exchanges.size > 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
    if (this.#retired) this.#close()
  }

  /** Resolves when nothing is going on. */
  async idle(): Promise<void> {
    if (this.exchanges.size > 0) await new Promise<void>(resolve => this.#whenIdle.push(resolve))
  }

  /** No route names it any more: what is going on ends by itself, then its connections are closed. */
  retire(): void {
    this.#retired = true
    if (this.exchanges.size === 0) this.#close()
  }

  #close(): void {
    this.pool.destroy()
  }
}

/** Least active first; those that rest, drain or were tried already only when there is nothing else. */
export class UpstreamGroup {
  readonly upstreams: readonly Upstream[]
  #next = 0

  constructor(upstreams: readonly Upstream[]) {
    this.upstreams = upstreams
  }

  choose(tried: readonly Upstream[] = []): Upstream | undefined {
    const count = this.upstreams.length
    if (count === 1 && tried.length === 0) return this.upstreams[0]
    let best: Upstream | undefined
    let bestCost = Number.POSITIVE_INFINITY
    this.#next = (this.#next + 1) % count
    for (let i = 0; i < count; i++) {
      const upstream = this.upstreams[(this.#next + i) % count] as Upstream
      if (tried.includes(upstream)) continue
      const cost = upstream.exchanges.size + (upstream.resting ? 1e6 : 0) + (upstream.draining ? 1e9 : 0)
      if (cost < bestCost) {
        best = upstream
        bestCost = cost
      }
    }
    return best
  }
}
