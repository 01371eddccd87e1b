import type { Database } from '@coderunner/database'
import type { DB } from '../database.ts'

/** Tells whoever shows a deployment that its status, an operation or a step of it has changed. */
export class DeploymentChanges implements AsyncDisposable {
  readonly #ended = new AbortController()
  readonly #watches = new Map<string, Set<() => void>>()

  static async start(database: Database<DB>): Promise<DeploymentChanges> {
    const changes = new DeploymentChanges()
    const { signal } = changes.#ended
    const options = { signal, onReconnect: () => changes.#tellAll() }
    // Of the deployment itself, and of its playbook.
    await database.listen('deployment', id => changes.tell(id), options)
    await database.listen('operation', id => changes.tell(id), options)
    return changes
  }

  /** Register before reading what is there: `changed` resolves with the first change after this call, or after `ms`. */
  watch(deploymentId: string, signal: AbortSignal, ms: number): { changed: Promise<void> } & Disposable {
    const { promise, resolve } = Promise.withResolvers<void>()
    const watches = this.#watches.get(deploymentId) ?? new Set()
    this.#watches.set(deploymentId, watches.add(resolve))
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted || this.#ended.signal.aborted) resolve()
    return {
      changed: promise,
      [Symbol.dispose]: () => {
        clearTimeout(timer)
        watches.delete(resolve)
        if (watches.size === 0 && this.#watches.get(deploymentId) === watches) this.#watches.delete(deploymentId)
      },
    }
  }

  /** Something of this deployment has changed, whoever says so. */
  tell(deploymentId: string): void {
    for (const resolve of this.#watches.get(deploymentId) ?? []) resolve()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    this.#tellAll()
  }

  #tellAll(): void {
    for (const id of this.#watches.keys()) this.tell(id)
  }
}
