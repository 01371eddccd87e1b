import { setTimeout as delay } from 'node:timers/promises'
import { Client, escapeIdentifier } from 'pg'

export interface ListenOptions {
  signal?: AbortSignal
  /** The connection was lost and is back: notifications in between are lost, so read again. */
  onReconnect?: () => void
}

interface Subscription {
  handler: (payload: string) => void
  onReconnect: (() => void) | undefined
}

const firstDelayMs = 100
const longestDelayMs = 5000

/**
 * One connection that listens on every channel asked for. It is opened by the first subscription and kept: when it
 * breaks it is opened again with growing delays, all channels are listened to again and the subscribers are told.
 */
export class NotificationListener implements AsyncDisposable {
  readonly #url: string
  readonly #onConnectionError: (error: Error) => void
  readonly #channels = new Map<string, Set<Subscription>>()
  readonly #closed = new AbortController()
  #client: Client | undefined
  #opening: Promise<void> | undefined

  constructor(url: string, onConnectionError: (error: Error) => void) {
    this.#url = url
    this.#onConnectionError = onConnectionError
  }

  async listen(channel: string, handler: (payload: string) => void, options: ListenOptions): Promise<void> {
    const { signal } = options
    if (signal?.aborted === true) return
    const subscription: Subscription = { handler, onReconnect: options.onReconnect }
    const subscribers = this.#channels.get(channel) ?? new Set()
    this.#channels.set(channel, subscribers.add(subscription))
    const stop = () => {
      subscribers.delete(subscription)
      if (subscribers.size > 0 || this.#channels.get(channel) !== subscribers) return
      this.#channels.delete(channel)
      this.#client?.query(`unlisten ${escapeIdentifier(channel)}`).catch((error: Error) => {
        if (!this.#closed.signal.aborted) this.#onConnectionError(error)
      })
    }
    signal?.addEventListener('abort', stop, { once: true })
    try {
      if (this.#client === undefined) {
        this.#opening ??= this.#open().finally(() => {
          this.#opening = undefined
        })
        await this.#opening
      }
      // Also where the connection was just opened: it may have listed the channels before this one came.
      await this.#client?.query(`listen ${escapeIdentifier(channel)}`)
    } catch (error) {
      signal?.removeEventListener('abort', stop)
      stop()
      throw error
    }
  }

  async #open(): Promise<void> {
    const client = new Client({
      connectionString: this.#url,
      keepAlive: true,
      connectionTimeoutMillis: 10_000,
      application_name: 'coderunner listen',
    })
    let lost = false
    const onLost = (error?: Error) => {
      if (error !== undefined) this.#onConnectionError(error)
      if (lost) return
      lost = true
      if (this.#client !== client) return
      this.#client = undefined
      void this.#reopen()
    }
    client.on('error', onLost)
    client.on('end', () => onLost())
    client.on('notification', ({ channel, payload }) => {
      for (const { handler } of this.#channels.get(channel) ?? []) handler(payload ?? '')
    })
    try {
      await client.connect()
      for (const channel of this.#channels.keys()) await client.query(`listen ${escapeIdentifier(channel)}`)
      this.#closed.signal.throwIfAborted()
      if (lost) throw new Error('The connection for notifications was lost while it was being opened.')
    } catch (error) {
      await client.end().catch(this.#onConnectionError)
      throw error
    }
    this.#client = client
  }

  async #reopen(): Promise<void> {
    for (let delayMs = firstDelayMs; !this.#closed.signal.aborted; delayMs = Math.min(delayMs * 2, longestDelayMs)) {
      try {
        await delay(delayMs, undefined, { signal: this.#closed.signal })
        await this.#open()
        for (const subscribers of this.#channels.values()) for (const { onReconnect } of subscribers) onReconnect?.()
        return
      } catch (error) {
        if (!this.#closed.signal.aborted) this.#onConnectionError(error as Error)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort()
    this.#channels.clear()
    const client = this.#client
    this.#client = undefined
    await client?.end()
  }
}
