/**
 * The user namespaces that say how sandboxes' mounts are mapped, made ahead for the sandboxes that come next: one takes a
 * process that is born and ends, 5 ms of a create.
 */
import { closeSync } from 'node:fs'
import { makeUserNamespace } from './kernel/user-namespace.ts'
import type { UidRanges } from './uid-ranges.ts'

const AHEAD = 2

export class MountNamespaces implements AsyncDisposable {
  readonly #ranges: UidRanges
  readonly #ready = new Map<number, Promise<number>>()
  #isClosed = false

  constructor(ranges: UidRanges) {
    this.#ranges = ranges
  }

  /** A descriptor of the namespace of a slot, to be closed by who takes it. */
  take(slot: number): Promise<number> {
    const found = this.#ready.get(slot) ?? makeUserNamespace(this.#ranges.mountMapping(slot))
    this.#ready.delete(slot)
    return found
  }

  /** For the next sandboxes; what is for others goes. */
  prepare(): void {
    if (this.#isClosed) return
    const next = this.#ranges.next(AHEAD)
    for (const slot of this.#ready.keys()) if (!next.includes(slot)) void this.#drop(slot)
    for (const slot of next) {
      if (this.#ready.has(slot)) continue
      const making = makeUserNamespace(this.#ranges.mountMapping(slot))
      // Told when it is tried again, by who needs it.
      making.catch(() => this.#ready.delete(slot))
      this.#ready.set(slot, making)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#ready.keys()].map(slot => this.#drop(slot)))
  }

  async #drop(slot: number): Promise<void> {
    const making = this.#ready.get(slot)
    this.#ready.delete(slot)
    const fd = await making?.catch(() => undefined)
    if (fd !== undefined) closeSync(fd)
  }
}
