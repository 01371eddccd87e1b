import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'undici'

export type Waited = 'changed' | 'timed-out' | 'full' | 'refused' | 'gone'

interface Waiting {
  /** Called with the outcome, once each. */
  guests: Set<(outcome: Waited) => void>
  stop: AbortController
}

const firstPauseMs = 100
const longestPauseMs = 1000
/** An order that was accepted is repeated after this time: the server may have died with it. */
const repeatMs = 5000

/**
 * Requests to sleeping deployments wait here until a new table says something else of the deployment. The server is asked
 * once per deployment, and again as long as it does not answer: it may be starting itself.
 */
export class WaitingRoom implements AsyncDisposable {
  readonly #deployments = new Map<string, Waiting>()
  readonly #client: Client | undefined
  readonly #capacity: number
  readonly #timeoutMs: number
  #held = 0

  constructor(options: { serverSocket: string | undefined; capacity: number; timeoutMs: number }) {
    this.#capacity = options.capacity
    this.#timeoutMs = options.timeoutMs
    if (options.serverSocket !== undefined)
      this.#client = new Client('http://server', {
        socketPath: options.serverSocket,
        headersTimeout: 10_000,
        bodyTimeout: 10_000,
      })
  }

  get held(): number {
    return this.#held
  }

  /** Waits until the deployment's route changes, the time is over, or the signal (the client left) aborts. */
  async wait(deploymentId: string, signal: AbortSignal): Promise<Waited> {
    if (this.#client === undefined) return 'refused'
    if (this.#held >= this.#capacity) return 'full'
    if (signal.aborted) return 'gone'
    const waiting = this.#deployments.get(deploymentId) ?? this.#begin(deploymentId, this.#client)
    this.#held++
    const { promise, resolve } = Promise.withResolvers<Waited>()
    const timer = setTimeout(() => resolve('timed-out'), this.#timeoutMs)
    const leave = () => resolve('gone')
    signal.addEventListener('abort', leave)
    waiting.guests.add(resolve)
    try {
      return await promise
    } finally {
      this.#held--
      clearTimeout(timer)
      signal.removeEventListener('abort', leave)
      waiting.guests.delete(resolve)
      if (waiting.guests.size === 0) this.#end(deploymentId, waiting)
    }
  }

  /** A new table is in force: the guests of these deployments look again. */
  release(sleeping: ReadonlySet<string>): void {
    for (const [deploymentId, waiting] of this.#deployments)
      if (!sleeping.has(deploymentId)) this.#dismiss(deploymentId, waiting, 'changed')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [deploymentId, waiting] of this.#deployments) this.#dismiss(deploymentId, waiting, 'timed-out')
    await this.#client?.destroy()
  }

  #begin(deploymentId: string, client: Client): Waiting {
    const waiting: Waiting = { guests: new Set(), stop: new AbortController() }
    this.#deployments.set(deploymentId, waiting)
    void this.#wake(deploymentId, waiting, client)
    return waiting
  }

  #end(deploymentId: string, waiting: Waiting): void {
    waiting.stop.abort()
    if (this.#deployments.get(deploymentId) === waiting) this.#deployments.delete(deploymentId)
  }

  #dismiss(deploymentId: string, waiting: Waiting, outcome: Waited): void {
    this.#end(deploymentId, waiting)
    for (const guest of waiting.guests) guest(outcome)
  }

  async #wake(deploymentId: string, waiting: Waiting, client: Client): Promise<void> {
    const { signal } = waiting.stop
    const body = JSON.stringify({ deploymentId })
    for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const status = await post(client, body, signal)
      if (status >= 400 && status < 500 && status !== 429) return this.#dismiss(deploymentId, waiting, 'refused')
      const accepted = status >= 200 && status < 300
      // Ends early when nobody waits any more.
      await delay(accepted ? repeatMs : pauseMs, undefined, { signal }).catch(() => {})
    }
  }
}

/** The status of the server's answer, or 0 without one. */
async function post(client: Client, body: string, signal: AbortSignal): Promise<number> {
  try {
    const headers = { 'content-type': 'application/json' }
    const answer = await client.request({ method: 'POST', path: '/wake', headers, body, signal })
    await answer.body.dump()
    return answer.statusCode
  } catch {
    // Not there, or not yet: asked again.
    return 0
  }
}
