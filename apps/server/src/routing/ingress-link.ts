/** Orders to the ingress, over its control socket. */
import type { Readable } from 'node:stream'
import {
  AppError,
  type ErrorCode,
  errorCodes,
  type RouteCounters,
  type RouteTable,
  type StaticSite,
} from '@coderunner/contract'
import { type Dispatcher, Pool } from 'undici'

export interface IngressLink {
  /** Resolves when the ingress serves by this table. Throws a `conflict` for one older than the one in force. */
  putRoutes(table: RouteTable): Promise<void>
  /** False when something was still going on after `timeoutMs` and was cut. */
  drain(instanceId: string, timeoutMs: number): Promise<boolean>
  counters(signal?: AbortSignal): Promise<RouteCounters[]>
  hasSite(siteId: string): Promise<boolean>
  /** `open` gives the content of a blob the ingress lacks. */
  publishSite(siteId: string, site: StaticSite, open: (hash: string) => Readable): Promise<void>
  /** Nothing there is no error. */
  removeSite(siteId: string): Promise<void>
}

export class IngressClient implements IngressLink, AsyncDisposable {
  readonly #client: Pool

  constructor(options: { socketPath: string }) {
    // Each order goes on its own connection as needed: a drain takes up to half a minute and must not hold up a push.
    this.#client = new Pool('http://ingress', { socketPath: options.socketPath, connections: 64 })
  }

  async putRoutes(table: RouteTable): Promise<void> {
    await this.#order('PUT', '/routes', table)
  }

  async drain(instanceId: string, timeoutMs: number): Promise<boolean> {
    const answer = await this.#order('POST', '/drain', { instanceId, timeoutMs }, timeoutMs + 10_000)
    return (answer as { drained?: boolean } | undefined)?.drained === true
  }

  async counters(signal?: AbortSignal): Promise<RouteCounters[]> {
    return ((await this.#order('GET', '/counters', undefined, 10_000, signal)) as { counters: RouteCounters[] })
      .counters
  }

  async hasSite(siteId: string): Promise<boolean> {
    try {
      await this.#order('GET', `/sites/${siteId}`)
      return true
    } catch (error) {
      if (error instanceof AppError && error.code === 'not_found') return false
      throw error
    }
  }

  async publishSite(siteId: string, site: StaticSite, open: (hash: string) => Readable): Promise<void> {
    // What is missing after the blobs were sent is asked for once more: the ingress may have tidied in between.
    for (let round = 0; round < 3; round++) {
      const answer = (await this.#order('PUT', `/sites/${siteId}`, site, 60_000)) as { missing?: string[] } | undefined
      const missing = answer?.missing ?? []
      if (missing.length === 0) return
      for (const hash of missing) await this.#order('PUT', `/sites/${siteId}/blobs/${hash}`, open(hash), 60_000)
    }
    throw new AppError('unavailable', 'The ingress did not keep the files of the site.')
  }

  async removeSite(siteId: string): Promise<void> {
    await this.#order('DELETE', `/sites/${siteId}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy()
  }

  async #order(
    method: Dispatcher.HttpMethod,
    path: string,
    body?: object | Readable,
    timeoutMs = 10_000,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const isStream = body !== undefined && 'pipe' in body
    const answer = await this.#client
      .request({
        method,
        path,
        headers: isStream ? { 'content-type': 'application/octet-stream' } : { 'content-type': 'application/json' },
        body: isStream ? body : body === undefined ? null : JSON.stringify(body),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: signal ?? null,
      })
      .catch((cause: unknown) => {
        throw new AppError('unavailable', 'The ingress does not answer.', { cause })
      })
    const text = await answer.body.text()
    const value = text === '' ? undefined : (JSON.parse(text) as unknown)
    if (answer.statusCode < 300) return value
    const { code, detail } = (value ?? {}) as { code?: string; detail?: string }
    const known = code !== undefined && code in errorCodes ? (code as ErrorCode) : 'unavailable'
    throw new AppError(known, detail ?? `The ingress answered ${answer.statusCode}.`)
  }
}
