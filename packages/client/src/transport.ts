import { newId } from '@coderunner/contract/ids'
import { ApiError, networkReason, readApiError, ServerUnreachableError } from './api-error.ts'
import { delay } from './delay.ts'
import { type ClientRoute, pathOf } from './routes.ts'

export interface TransportOptions {
  /** Origin of the API, such as `http://127.0.0.1:3000`; a path before `/api` is kept. */
  baseUrl: string
  token?: string | undefined
  fetch?: typeof fetch | undefined
  /** Ends every call. */
  signal?: AbortSignal | undefined
}

export interface Call {
  params?: Record<string, string>
  query?: Record<string, string | number | undefined>
  /** Sent as JSON. */
  json?: unknown
  /** A body that is not JSON; asked for anew at every attempt. A form brings its content type itself. */
  body?: () => { content: ReadableStream<Uint8Array> | FormData; contentType?: string }
  idempotencyKey?: string
  signal?: AbortSignal | undefined
  accept?: string
}

const attempts = 4
const firstBackOffMs = 100
const longestRetryAfterMs = 30_000

/**
 * One HTTP call with its retries. What is safe to repeat (GET, PUT, DELETE and a POST with an idempotency key) is
 * repeated when the connection breaks, and when the server asks for patience with Retry-After: too many requests, not
 * available, or the first attempt with this key is still being worked on.
 */
export class Transport {
  readonly baseUrl: string
  readonly #token: string | undefined
  readonly #fetch: typeof fetch
  readonly #signal: AbortSignal | undefined
  /** A server that has answered once and refuses now is being restarted: worth another attempt. */
  #reached = false

  constructor({ baseUrl, token, fetch: ownFetch, signal }: TransportOptions) {
    this.baseUrl = baseUrl.replace(/\/+$/, '')
    this.#token = token
    this.#fetch = ownFetch ?? ((...args) => fetch(...args))
    this.#signal = signal
  }

  /** The answer's JSON, undefined for 204. A connection that breaks within the answer counts as no answer. */
  json<T>(route: ClientRoute, call: Call = {}): Promise<T> {
    return this.#repeat(
      route,
      call,
      async response => (response.status === 204 ? undefined : await response.json()) as T,
    )
  }

  /** Resolves with an answer of 2xx, whose body is still to be read; throws ApiError or ServerUnreachableError. */
  send(route: ClientRoute, call: Call = {}): Promise<Response> {
    return this.#repeat(route, call, async response => response)
  }

  async #repeat<T>(route: ClientRoute, call: Call, read: (response: Response) => Promise<T>): Promise<T> {
    const signal = this.#signalFor(call.signal)
    // A POST is repeatable only where it was given a key; the others always are, by a key of their own.
    const changes = route.method !== 'GET' && route.method !== 'POST'
    const idempotencyKey = call.idempotencyKey ?? (changes ? newId() : undefined)
    const repeatable = route.method === 'GET' || idempotencyKey !== undefined
    const keyed = { ...call, ...(idempotencyKey && { idempotencyKey }) }
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(route, keyed, signal, read)
      } catch (failure) {
        const waitMs = repeatable && attempt < attempts ? this.#pauseAfter(failure, attempt) : undefined
        if (waitMs === undefined) throw failure
        await delay(waitMs, signal)
      }
    }
  }

  /** How long to wait before another attempt; undefined when none is worth it. */
  #pauseAfter(failure: unknown, attempt: number): number | undefined {
    if (failure instanceof ApiError)
      return (failure.retryAfterMs ?? Infinity) <= longestRetryAfterMs ? failure.retryAfterMs : undefined
    if (!(failure instanceof ServerUnreachableError) || (!this.#reached && connectionRefused(failure))) return undefined
    return firstBackOffMs * 4 ** (attempt - 1)
  }

  async #attempt<T>(
    route: ClientRoute,
    call: Call,
    signal: AbortSignal | undefined,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const url = this.#url(route, call)
    const headers: Record<string, string> = { accept: call.accept ?? 'application/json, application/problem+json' }
    if (this.#token !== undefined) headers['authorization'] = `Bearer ${this.#token}`
    if (call.idempotencyKey !== undefined) headers['idempotency-key'] = call.idempotencyKey
    const init: RequestInit & { duplex?: 'half' } = { method: route.method, headers, redirect: 'error' }
    if (signal !== undefined) init.signal = signal
    if (call.json !== undefined) {
      headers['content-type'] = 'application/json'
      init.body = JSON.stringify(call.json)
    } else if (call.body !== undefined) {
      const { content, contentType } = call.body()
      if (contentType !== undefined) headers['content-type'] = contentType
      init.body = content
      if (content instanceof ReadableStream) init.duplex = 'half'
    }
    try {
      const response = await this.#fetch(url, init)
      this.#reached = true
      if (!response.ok) throw await readApiError(response, url)
      return await read(response)
    } catch (cause) {
      this.throwIfAborted(call.signal)
      if (cause instanceof ApiError) throw cause
      if (cause instanceof SyntaxError)
        throw new ApiError({ status: 502, code: 'internal', detail: `${url} answered, and not as CodeRunner does.` })
      // A body that could not be produced (a file that changed while it was read) is the caller's error, not the network's.
      throw producedByBody(cause) ?? new ServerUnreachableError(this.baseUrl, cause)
    }
  }

  #url(route: ClientRoute, { params, query = {} }: Call): string {
    const search = new URLSearchParams()
    for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value))
    const text = search.toString()
    return `${this.baseUrl}${pathOf(route, params)}${text === '' ? '' : `?${text}`}`
  }

  #signalFor(signal: AbortSignal | undefined): AbortSignal | undefined {
    if (signal === undefined || this.#signal === undefined) return signal ?? this.#signal
    return AbortSignal.any([signal, this.#signal])
  }

  /** What a broken call throws when the caller ended it, instead of the error that follows from that. */
  throwIfAborted(signal: AbortSignal | undefined): void {
    this.#signalFor(signal)?.throwIfAborted()
  }
}

/** Marks an error of the caller's own body stream, to tell it from a broken connection. */
export class BodyError extends Error {
  constructor(cause: unknown) {
    super('the request body could not be read', { cause })
    this.name = 'BodyError'
  }
}

function producedByBody(error: unknown): unknown {
  for (let current = error, depth = 0; depth < 5 && current instanceof Error; depth++, current = current.cause)
    if (current instanceof BodyError) return current.cause
  return undefined
}

function connectionRefused(error: ServerUnreachableError): boolean {
  return ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(networkReason(error.cause))
}
