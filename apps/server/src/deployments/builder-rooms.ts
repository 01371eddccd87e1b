/** Gives steps a builder of their own: in the order they come, no longer than they may take, with a row that says whose it is. */
import type { SandboxProvider } from '@coderunner/runtime'
import type { BuildQueue } from '../builds/build-queue.ts'
import { type BuilderTask, withTimeLimit } from '../builds/builder-sandbox.ts'
import type { Db } from '../database.ts'
import { instances } from './instance-store.ts'
import { operations } from './operation-store.ts'
import type { StepRun } from './step-executors.ts'

export interface BuilderRoomsDeps {
  db: Db
  provider: SandboxProvider
  queue: BuildQueue
  timeoutMs: number
}

/** What the step itself says of its builder. */
export type BuilderWish = Pick<BuilderTask, 'layers' | 'software' | 'env'>

export class BuilderRooms {
  readonly #deps: BuilderRoomsDeps

  constructor(deps: BuilderRoomsDeps) {
    this.#deps = deps
  }

  async run<T>(run: StepRun, wish: BuilderWish, work: (task: BuilderTask) => Promise<T>): Promise<T> {
    const { queue, provider, db, timeoutMs } = this.#deps
    const place = new PlaceInQueue(db, run)
    return queue.run(
      run.signal,
      async () => {
        await place.left()
        using limited = withTimeLimit(run.signal, timeoutMs)
        const { id: deploymentId, project_id: projectId } = run.deployment
        const store = instances(db)
        const sandboxId = await store.insert({ deploymentId, kind: 'builder', process: 'builder', number: 1 })
        try {
          return await work({
            provider,
            sandboxId,
            projectId,
            deploymentId,
            fence: run.lease.fence,
            ...wish,
            output: run.log,
            signal: limited.signal,
          })
        } finally {
          // Whatever came of it, the sandbox is gone.
          await store.update(sandboxId, { status: 'GONE' })
        }
      },
      position => place.moved(position),
    )
  }
}

/** Writes a place down as it changes, one after the other; the last one counts. */
class PlaceInQueue {
  readonly #db: Db
  readonly #run: StepRun
  #written: Promise<void> = Promise.resolve()
  #waited = false

  constructor(db: Db, run: StepRun) {
    this.#db = db
    this.#run = run
  }

  moved(position: number): void {
    const before = this.#waited ? 'Now waiting' : 'Waiting'
    this.#waited = true
    const others = position === 1 ? 'another build' : `${position} other builds`
    this.#write(position, `${before} for ${others} to end.`)
  }

  async left(): Promise<void> {
    if (this.#waited) this.#write(null, undefined)
    await this.#written
  }

  #write(position: number | null, message: string | undefined): void {
    const { operation, lease, log } = this.#run
    this.#written = this.#written
      .then(async () => {
        if (operation !== undefined)
          await operations(this.#db).progress(lease, operation.id, { queuePosition: position })
        if (message !== undefined) await log.system(message)
      })
      // Of use to onlookers alone; a lease that was lost is noticed by the step itself.
      .catch(() => {})
  }
}
