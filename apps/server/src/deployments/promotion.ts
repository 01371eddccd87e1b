/** Which deployment a project's URL leads to, and what becomes of those it no longer leads to. */
import { AppError } from '@coderunner/contract'
import { sql } from 'kysely'
import type { Db } from '../database.ts'
import type { RoutePublisher } from '../routing/route-publisher.ts'
import { deployments, type Holder } from './deployment-store.ts'
import { operations } from './operation-store.ts'
import type { StepExecutors, StepRun } from './step-executors.ts'

export interface PromotionDeps {
  db: Db
  routes: RoutePublisher
  /** Deployments of a project that are kept besides the serving one. */
  retention: number
}

export class Promotion {
  readonly #deps: PromotionDeps

  constructor(deps: PromotionDeps) {
    this.#deps = deps
  }

  get executors(): Pick<StepExecutors, 'promote'> {
    return { promote: run => this.#promote(run) }
  }

  /** One push of the table switches the URL; the one that served drains and sleeps by an operation of its own. */
  async #promote(run: StepRun): Promise<'done' | 'skipped'> {
    const { db, routes, retention } = this.#deps
    const { id, project_id: projectId } = run.deployment
    const ordered = run.operation?.kind === 'promote'
    const outcome = await db.transaction().execute(tx => switchServing(tx, run.lease, { id, projectId, ordered }))
    if (outcome === 'superseded') {
      await run.log.system('A newer deployment serves the project already: this one goes to sleep.')
      return 'skipped'
    }
    await routes.changed()
    await run.log.system('Serves the project’s URL.')
    await db.transaction().execute(tx => retire(tx, projectId, retention))
    return 'done'
  }
}

async function switchServing(
  tx: Db,
  lease: Holder,
  { id, projectId, ordered }: { id: string; projectId: string; ordered: boolean },
): Promise<'switched' | 'superseded'> {
  // Two deployments of a project are promoted one after the other.
  const project = await tx
    .selectFrom('project')
    .select('serving_deployment_id')
    .where('id', '=', projectId)
    .forUpdate()
    .executeTakeFirstOrThrow()
  const own = await deployments(tx).find(id)
  if (own === undefined) throw new AppError('not_found', 'The deployment is gone.')
  const served =
    project.serving_deployment_id === null ? undefined : await deployments(tx).find(project.serving_deployment_id)
  if (
    !ordered &&
    served !== undefined &&
    served.id !== id &&
    served.created_at > own.created_at &&
    served.desired === 'running'
  ) {
    await deployments(tx).asHolder(lease).update({ promote: false, desired: 'sleeping' })
    return 'superseded'
  }
  await tx.updateTable('project').set({ serving_deployment_id: id }).where('id', '=', projectId).execute()
  await deployments(tx).asHolder(lease).update({ promote: false })
  await tx.updateTable('deployment').set({ promoted_at: sql<Date>`now()` }).where('id', '=', id).execute()
  if (served !== undefined && served.id !== id && served.desired === 'running' && served.status !== 'FAILED') {
    await deployments(tx).order(served.id, { desired: 'sleeping' })
    await operations(tx).insert(served.id, 'sleep', null)
  }
  return 'switched'
}

/** Orders the end of the oldest beyond what is kept. */
async function retire(tx: Db, projectId: string, keep: number): Promise<void> {
  for (const id of await deployments(tx).withoutRetention(projectId, keep)) {
    await deployments(tx).order(id, { desired: 'destroyed' })
    await operations(tx).insert(id, 'destroy', null)
  }
}
