/**
 * Takes what instances write into the log store, from where it was left off: the offset in the database moves after the
 * lines are stored, so nothing is lost; after a crash between the two the lines that are there already are left out, so
 * nothing is doubled.
 */
import type { OutputLine, Sandbox } from '@coderunner/runtime'
import type { Logger } from 'pino'
import type { Db } from '../database.ts'
import type { DeploymentLog } from './deployment-log.ts'
import { instances } from './instance-store.ts'

export interface FollowedInstance {
  id: string
  /** Such as `web.1`. */
  name: string
  offset: number
  /** Not just made: another run of the server may have stored more than the offset says. */
  resumed: boolean
  log: DeploymentLog
  /** Ends with the lease. */
  signal: AbortSignal
}

const tailLines = 50

interface Follower {
  done: Promise<void>
  tail: string[]
}

export class InstanceOutput {
  readonly #db: Db
  readonly #log: Logger
  readonly #followers = new Map<string, Follower>()

  constructor(options: { db: Db; log: Logger }) {
    this.#db = options.db
    this.#log = options.log
  }

  follow(instance: FollowedInstance, sandbox: Sandbox): void {
    if (this.#followers.has(instance.id)) return
    const tail: string[] = []
    const done = this.#take(instance, sandbox, tail).catch((error: unknown) => {
      if (!instance.signal.aborted)
        this.#log.warn({ err: error, instance: instance.id }, 'output is no longer followed')
    })
    this.#followers.set(instance.id, { done, tail })
    // Lost with the lease or by an error: whoever looks after the instance next begins again where this one stopped.
    void done.then(() => {
      if (this.#followers.get(instance.id)?.tail === tail && instance.signal.aborted)
        this.#followers.delete(instance.id)
    })
  }

  isFollowed(id: string): boolean {
    return this.#followers.has(id)
  }

  /** After the end of the main process: until its last output is stored, but no longer than `patienceMs`. */
  async drained(id: string, patienceMs = 5000): Promise<void> {
    const timeout = Promise.withResolvers<void>()
    const timer = setTimeout(timeout.resolve, patienceMs)
    await Promise.race([this.#followers.get(id)?.done, timeout.promise])
    clearTimeout(timer)
  }

  /** Its last lines, oldest first. */
  lastLines(id: string): readonly string[] {
    return this.#followers.get(id)?.tail ?? []
  }

  forget(id: string): void {
    this.#followers.delete(id)
  }

  async #take(instance: FollowedInstance, sandbox: Sandbox, tail: string[]): Promise<void> {
    let { offset } = instance
    let stored: Map<string, number> | undefined
    for await (const chunk of sandbox.output({ offset, signal: instance.signal })) {
      const [first] = chunk.lines
      if (instance.resumed && first !== undefined) stored ??= await this.#storedSince(instance, first.time)
      await instance.log.run(
        instance.name,
        chunk.lines.filter(line => stored === undefined || !takeOne(stored, line)),
      )
      tail.push(...chunk.lines.map(line => line.text))
      tail.splice(0, tail.length - tailLines)
      if (!(await instances(this.#db).moveOffset(instance.id, offset, chunk.offset))) return
      offset = chunk.offset
      await sandbox.acknowledgeOutput(offset)
    }
  }

  /** Lines of the instance that the log has from this moment on, counted. */
  async #storedSince(instance: FollowedInstance, time: number): Promise<Map<string, number>> {
    const counts = new Map<string, number>()
    for (const { time: at, stream, message } of await instance.log.since(instance.name, time)) {
      const key = `${at} ${stream} ${message}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    return counts
  }
}

/** True, and one fewer, when the line is among those stored. */
function takeOne(stored: Map<string, number>, line: OutputLine): boolean {
  const key = `${line.time} ${line.stream} ${line.text}`
  const count = stored.get(key)
  if (count === undefined) return false
  if (count === 1) stored.delete(key)
  else stored.set(key, count - 1)
  return true
}
