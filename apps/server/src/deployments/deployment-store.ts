/**
 * SQL of deployments. What the reconciler writes goes through `asHolder`, which touches a row only while its lease and
 * epoch are the caller's: `LostLeaseError` says that another server has taken over.
 */
import {
  AppError,
  type api,
  type DeploymentStatus,
  deploymentStatuses,
  newId,
  type OperationKind,
  type OperationStatus,
} from '@coderunner/contract'
import { type Selectable, sql } from 'kysely'
import type { DB, Db } from '../database.ts'
import { decodeCursor, type Page, pageOf } from '../http/page.ts'
import type { Desired } from './plan-deployment.ts'

export type DeploymentRow = Omit<Selectable<DB['deployment']>, 'status' | 'desired' | 'options' | 'processes'> & {
  status: DeploymentStatus
  desired: Desired['state']
  options: DeploymentOptions
  processes: api.ProcessPlan[]
}
export type OperationRow = Omit<Selectable<DB['operation']>, 'kind' | 'status' | 'steps'> & {
  kind: OperationKind
  status: OperationStatus
  steps: api.Operation['steps']
}
/** What was asked for, without the environment, which lies sealed in a configuration version. */
export type DeploymentOptions = Omit<api.DeployOptions, 'env' | 'project'>
export type DeploymentWithProject = DeploymentRow & {
  project_name: string
  project_port: number
  serving: boolean
  detection: api.Detection | null
  layers: string[] | null
  site_id: string | null
}

export class DeploymentNotFoundError extends AppError {
  constructor(id: string) {
    super('not_found', `There is no deployment ${id} that you may see.`)
  }
}
export class LostLeaseError extends AppError {
  constructor(deploymentId: string) {
    super('stale_epoch', `Another server has taken over deployment ${deploymentId}.`)
  }
}

export interface Holder {
  deploymentId: string
  holder: string
  epoch: number
}

export interface NewDeployment {
  projectId: string
  sourceId: string
  configVersionId: string | undefined
  options: DeploymentOptions
  /** The source is still to be fetched; the one above is empty. */
  unfetched?: boolean
  createdBy: string
}

export function deployments(db: Db) {
  const withProject = () =>
    db
      .selectFrom('deployment')
      .innerJoin('project', 'project.id', 'deployment.project_id')
      .leftJoin('release', 'release.id', 'deployment.release_id')
      .selectAll('deployment')
      .select(['project.name as project_name', 'project.port as project_port', 'release.detection', 'release.layers'])
      .select(['release.site_id'])
      .select(sql<boolean>`project.serving_deployment_id is not distinct from deployment.id`.as('serving'))

  return {
    async insert(deployment: NewDeployment): Promise<string> {
      for (;;) {
        const inserted = await db
          .insertInto('deployment')
          .values({
            id: newId(),
            project_id: deployment.projectId,
            slug: newId(8),
            source_id: deployment.sourceId,
            config_version_id: deployment.configVersionId ?? null,
            options: JSON.stringify(deployment.options),
            status: 'PENDING',
            desired: 'running',
            unfetched: deployment.unfetched ?? false,
            created_by: deployment.createdBy,
          })
          // The slug is short: another may have it.
          .onConflict(conflict => conflict.column('slug').doNothing())
          .returning('id')
          .executeTakeFirst()
        if (inserted !== undefined) return inserted.id
      }
    },

    async find(id: string): Promise<DeploymentWithProject | undefined> {
      return (await withProject().where('deployment.id', '=', id).executeTakeFirst()) as
        | DeploymentWithProject
        | undefined
    },

    /** Those of the projects the user is a member of, newest first. */
    async page(
      filter: { userId: string; projectId?: string },
      { limit, cursor }: { limit: number; cursor?: string },
    ): Promise<Page<DeploymentWithProject>> {
      let query = withProject()
        .innerJoin('project_member', 'project_member.project_id', 'deployment.project_id')
        .where('project_member.user_id', '=', filter.userId)
        .where('deployment.status', '<>', 'DESTROYED')
        .orderBy('deployment.created_at', 'desc')
        .orderBy('deployment.id', 'desc')
        .limit(limit + 1)
      if (filter.projectId !== undefined) query = query.where('deployment.project_id', '=', filter.projectId)
      if (cursor !== undefined) {
        const [time, id] = decodeCursor(cursor, ['string', 'string'])
        query = query.where(sql<boolean>`(deployment.created_at, deployment.id) < (${time}::timestamptz, ${id})`)
      }
      const rows = (await query
        // As text: a Date has no microseconds, and the cursor would repeat or skip rows.
        .select(sql<string>`deployment.created_at::text`.as('created_at_text'))
        .execute()) as unknown as (DeploymentWithProject & { created_at_text: string })[]
      return pageOf(
        rows,
        limit,
        row => [row.created_at_text, row.id],
        row => row,
      )
    },

    /** Holds the row until the transaction ends. */
    async lock(id: string): Promise<DeploymentRow | undefined> {
      return (await db.selectFrom('deployment').selectAll().where('id', '=', id).forUpdate().executeTakeFirst()) as
        | DeploymentRow
        | undefined
    },

    async order(id: string, order: { desired?: Desired['state']; promote?: boolean }): Promise<void> {
      await db
        .updateTable('deployment')
        .set({
          ...(order.desired === undefined ? {} : { desired: order.desired }),
          ...(order.promote === undefined ? {} : { promote_when_healthy: order.promote }),
          updated_at: sql<Date>`now()`,
        })
        .where('id', '=', id)
        .execute()
    },

    async keepGitToken(id: string, { sealed, keyId }: { sealed: Buffer; keyId: string }): Promise<void> {
      await db
        .updateTable('deployment')
        .set({ git_token: sealed, git_token_key_id: keyId })
        .where('id', '=', id)
        .execute()
    },

    async statusOf(id: string): Promise<DeploymentStatus | undefined> {
      const row = await db.selectFrom('deployment').select('status').where('id', '=', id).executeTakeFirst()
      return deploymentStatuses.find(status => status === row?.status)
    },

    /** Those with work ordered or under way. */
    async needingAttention(): Promise<string[]> {
      const rows = await db
        .selectFrom('operation')
        .innerJoin('deployment', 'deployment.id', 'operation.deployment_id')
        .select('deployment.id')
        .distinct()
        .where('operation.status', 'in', ['PENDING', 'RUNNING'])
        .where('deployment.status', '<>', 'DESTROYED')
        .execute()
      return rows.map(row => row.id)
    },

    /** Running, serving nobody's URL, with nothing ordered: those that may sleep when nobody visits them. */
    async awakeWithoutServing(): Promise<string[]> {
      const rows = await db
        .selectFrom('deployment')
        .innerJoin('project', 'project.id', 'deployment.project_id')
        .select('deployment.id')
        .where('deployment.status', '=', 'RUNNING')
        .where('deployment.desired', '=', 'running')
        .where('deployment.promote_when_healthy', '=', false)
        .where(sql<boolean>`project.serving_deployment_id is distinct from deployment.id`)
        .where(eb =>
          eb.not(
            eb.exists(
              eb
                .selectFrom('operation')
                .select('operation.id')
                .whereRef('operation.deployment_id', '=', 'deployment.id')
                .where('operation.status', 'in', ['PENDING', 'RUNNING']),
            ),
          ),
        )
        .execute()
      return rows.map(row => row.id)
    },

    async withoutRetention(projectId: string, keep: number): Promise<string[]> {
      const rows = await db
        .selectFrom('deployment')
        .innerJoin('project', 'project.id', 'deployment.project_id')
        .select('deployment.id')
        .where('deployment.project_id', '=', projectId)
        .where('deployment.status', 'in', ['RUNNING', 'SLEEPING', 'STOPPED', 'FAILED'])
        .where('deployment.desired', '<>', 'destroyed')
        .where(sql<boolean>`project.serving_deployment_id is distinct from deployment.id`)
        .orderBy('deployment.created_at', 'desc')
        .offset(keep)
        .execute()
      return rows.map(row => row.id)
    },

    asHolder({ deploymentId, holder, epoch }: Holder) {
      return {
        async update(change: {
          status?: DeploymentStatus
          desired?: Desired['state']
          releaseId?: string
          /** The repository was fetched: what came of it, and its token is no longer needed. */
          fetchedSourceId?: string
          processes?: api.ProcessPlan[]
          promote?: boolean
          error?: { code: string; message: string } | null
        }): Promise<void> {
          const { status, desired, releaseId, fetchedSourceId, processes, promote, error } = change
          const { numUpdatedRows } = await db
            .updateTable('deployment')
            .set({
              updated_at: sql<Date>`now()`,
              ...(status === undefined ? {} : { status }),
              ...(desired === undefined ? {} : { desired }),
              ...(releaseId === undefined ? {} : { release_id: releaseId }),
              ...(fetchedSourceId === undefined
                ? {}
                : { source_id: fetchedSourceId, unfetched: false, git_token: null, git_token_key_id: null }),
              ...(processes === undefined ? {} : { processes: JSON.stringify(processes) }),
              ...(promote === undefined ? {} : { promote_when_healthy: promote }),
              ...(error === undefined
                ? {}
                : { error_code: error?.code ?? null, error_message: error?.message ?? null }),
            })
            .where('id', '=', deploymentId)
            .where('lease_holder', '=', holder)
            .where('epoch', '=', epoch)
            .executeTakeFirst()
          if (numUpdatedRows === 0n) throw new LostLeaseError(deploymentId)
        },
      }
    },
  }
}
