import { Connection, type ExchangeListener, type OutgoingRequest } from './connection.ts'

/** Shorter than the 5 s of a Node server, so that a connection is seldom closed under a request. */
const longestFreeMs = 4000
/** An application that closes after n seconds may do so a little earlier than this side thinks. */
const marginMs = 1000
const sweepMs = 1000

/** The connections to one address, kept for the next requests. */
export class ConnectionPool {
  readonly #options: { host: string; port: number; answerTimeoutMs: number; connectTimeoutMs: number }
  /** The one that became free last is used first, so that those too many grow old. */
  readonly #free: Connection[] = []
  readonly #all = new Set<Connection>()
  #sweep: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: { host: string; port: number; answerTimeoutMs: number; connectTimeoutMs: number }) {
    this.#options = options
  }

  /** Sends it over a free connection or a new one; returns it, to pause it or to break it off. */
  send(outgoing: OutgoingRequest, listener: ExchangeListener): Connection {
    let connection = this.#free.pop()
    while (connection?.isUsable === false) connection = this.#free.pop()
    connection ??= this.#open()
    connection.send(outgoing, listener)
    return connection
  }

  /** Closes all connections, also those in use. */
  destroy(): void {
    this.#isClosed = true
    clearInterval(this.#sweep)
    for (const connection of this.#all) connection.destroy()
  }

  #open(): Connection {
    const connection = new Connection({ ...this.#options, onFree: this.#onFree, onClose: this.#onClose })
    this.#all.add(connection)
    return connection
  }

  #onFree = (connection: Connection): void => {
    const promisedMs = (connection.keepAliveSeconds ?? Number.POSITIVE_INFINITY) * 1000 - marginMs
    if (this.#isClosed || promisedMs <= 0) {
      connection.destroy()
      return
    }
    connection.closeAt = Date.now() + Math.min(longestFreeMs, promisedMs)
    this.#free.push(connection)
    this.#sweep ??= setInterval(this.#closeOld, sweepMs).unref()
  }

  #onClose = (connection: Connection): void => {
    this.#all.delete(connection)
    const at = this.#free.indexOf(connection)
    if (at >= 0) this.#free.splice(at, 1)
  }

  #closeOld = (): void => {
    const now = Date.now()
    for (const connection of this.#free.filter(({ closeAt }) => closeAt <= now)) connection.destroy()
    if (this.#free.length > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }
}
