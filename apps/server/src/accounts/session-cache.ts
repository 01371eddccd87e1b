import type { SessionOwner } from './account-store.ts'

const keptMs = 30_000
const mostEntries = 10_000

/**
 * Whose a session is, for 30 seconds at most. Revocation empties it at once where it happens and, by notification, on
 * every other server; the 30 seconds are for a server that hears nothing.
 */
export class SessionCache {
  readonly #entries = new Map<string, { owner: SessionOwner; untilMs: number }>()
  readonly #load: (sessionId: string) => Promise<SessionOwner | undefined>
  #revocations = 0

  constructor(load: (sessionId: string) => Promise<SessionOwner | undefined>) {
    this.#load = load
  }

  async find(sessionId: string): Promise<SessionOwner | undefined> {
    const entry = this.#entries.get(sessionId)
    const now = Date.now()
    if (entry !== undefined && entry.untilMs > now) return entry.owner
    this.#entries.delete(sessionId)
    const before = this.#revocations
    const owner = await this.#load(sessionId)
    // A revocation during the query may have been this one's: ask again next time.
    if (owner === undefined || before !== this.#revocations) return owner
    if (this.#entries.size >= mostEntries) this.#entries.clear()
    this.#entries.set(sessionId, { owner, untilMs: Math.min(now + keptMs, owner.expiresAt.getTime()) })
    return owner
  }

  forget(sessionId: string): void {
    this.#revocations += 1
    this.#entries.delete(sessionId)
  }

  /** Notifications may have been lost. */
  clear(): void {
    this.#revocations += 1
    this.#entries.clear()
  }
}
