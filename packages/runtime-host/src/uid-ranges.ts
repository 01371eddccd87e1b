/**
 * Each sandbox has a slot, and with it a range of user ids of its own (pipes, keyrings and inotify are counted by the
 * kernel per user, so a shared range would let one sandbox starve another) and an address. A slot is persistent because
 * the sandbox's record names it before anything is made with it.
 */
import { createHash } from 'node:crypto'
import { AppError } from '@coderunner/contract'
import type { IdMapping } from './kernel/user-namespace.ts'

export const RANGE_SIZE = 65536
/** Addresses of a /20 without its ends and the gateway's. */
export const SLOTS = 4000
const FIRST_ID = 1_000_000
const BLOCK_SIZE = 4096 * RANGE_SIZE
const BLOCKS = 15
/**
 * In the mapping of mounts only: the host's own root, so that overlayfs (which acts as root) can write an upper
 * directory below a mapped mount. What it writes for itself, such as whiteouts, lies on disk under this id.
 */
const MOUNTER_ON_DISK = 4_294_000_000

export class UidRanges {
  readonly #first: number
  readonly #used: Set<number>
  #next = 1

  /** @param used slots of the sandboxes on record */
  constructor({ instance, used }: { instance: string; used: Iterable<number> }) {
    // Instances on one machine take different blocks where they can; slots of one instance never overlap.
    const block = createHash('sha256').update(instance).digest().readUInt32LE(0) % BLOCKS
    this.#first = FIRST_ID + block * BLOCK_SIZE
    this.#used = new Set(used)
  }

  /** The next free slot going round, so that a slot just freed is the last to be used again. */
  take(): number {
    const [slot] = this.next(1)
    if (slot === undefined) {
      throw new AppError('unavailable', `All ${SLOTS} places for sandboxes on this machine are taken: remove some.`)
    }
    this.#next = following(slot)
    this.#used.add(slot)
    return slot
  }

  /** Slots that the next calls of `take` will give, fewer when there are no more. */
  next(count: number): number[] {
    const found: number[] = []
    for (let tried = 0, slot = this.#next; tried < SLOTS && found.length < count; tried++, slot = following(slot)) {
      if (!this.#used.has(slot)) found.push(slot)
    }
    return found
  }

  free(slot: number): void {
    this.#used.delete(slot)
  }

  /** The id on the host of the sandbox's root. */
  rootOf(slot: number): number {
    return this.#first + slot * RANGE_SIZE
  }

  /** For work of the provider itself that needs no rights: of a range that no sandbox ever gets. */
  get ownUser(): number {
    return this.rootOf(0) + 1
  }

  mountMapping(slot: number): IdMapping[] {
    return [
      { inside: 0, outside: this.rootOf(slot), size: RANGE_SIZE },
      { inside: MOUNTER_ON_DISK, outside: 0, size: 1 },
    ]
  }
}

const following = (slot: number): number => (slot % SLOTS) + 1
