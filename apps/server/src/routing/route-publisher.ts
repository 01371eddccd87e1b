/**
 * Keeps the ingress at what the database says. A push that fails is tried again until it comes through; pushes asked for
 * while one is under way are one push.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@coderunner/contract'
import type { Logger } from 'pino'
import type { Db } from '../database.ts'
import type { IngressLink } from './ingress-link.ts'
import { routed } from './route-store.ts'
import { routesOf } from './route-table.ts'

export interface RoutePublisherOptions {
  db: Db
  ingress: IngressLink
  /** Domain below which applications live; without one projects have ports. */
  domain: string | undefined
  log: Logger
}

const longestDelayMs = 2000

export class RoutePublisher implements AsyncDisposable {
  readonly #options: RoutePublisherOptions
  readonly #ended = new AbortController()
  #version = 0
  #pushing: Promise<void> | undefined
  #next: Promise<void> | undefined

  private constructor(options: RoutePublisherOptions) {
    this.#options = options
  }

  static start(options: RoutePublisherOptions): RoutePublisher {
    return new RoutePublisher(options)
  }

  /** Resolves when the ingress serves by what the database says now, or at the latest after `waitMs`; it goes on by itself then. */
  async changed(waitMs = 10_000): Promise<void> {
    const pushed = this.#push()
    const timeout = new AbortController()
    const patience = delay(waitMs, undefined, { signal: timeout.signal, ref: false }).catch(() => {})
    await Promise.race([pushed, patience])
    timeout.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#next
    await this.#pushing
  }

  #push(): Promise<void> {
    if (this.#pushing === undefined) {
      this.#pushing = this.#pushUntilDone().finally(() => {
        this.#pushing = undefined
      })
      return this.#pushing
    }
    // The one under way may have read already: another one after it.
    this.#next ??= this.#pushing.then(() => {
      this.#next = undefined
      return this.#push()
    })
    return this.#next
  }

  async #pushUntilDone(): Promise<void> {
    for (let delayMs = 50; !this.#ended.signal.aborted; delayMs = Math.min(delayMs * 2, longestDelayMs)) {
      try {
        const { projects, deployments } = await routed(this.#options.db).read()
        const routes = routesOf(projects, deployments, this.#options.domain)
        this.#version = Math.max(this.#version + 1, Date.now())
        await this.#options.ingress.putRoutes({ version: this.#version, routes })
        return
      } catch (error) {
        if (this.#ended.signal.aborted) return
        if (!(error instanceof AppError)) this.#options.log.error({ err: error }, 'the route table could not be made')
        else this.#options.log.warn({ code: error.code, reason: error.message }, 'the route table was not taken')
        await delay(delayMs, undefined, { signal: this.#ended.signal, ref: false }).catch(() => {})
      }
    }
  }
}
