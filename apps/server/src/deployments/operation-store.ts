import { type api, newId, type OperationKind, type OperationStatus } from '@coderunner/contract'
import { sql } from 'kysely'
import type { Db } from '../database.ts'
import { type Holder, LostLeaseError, type OperationRow } from './deployment-store.ts'

const unended = ['PENDING', 'RUNNING'] as const

/** SQL of operations: one playbook run each, worked on in the order they were made. */
export function operations(db: Db) {
  return {
    async insert(deploymentId: string, kind: OperationKind, createdBy: string | null): Promise<string> {
      const id = newId()
      await db
        .insertInto('operation')
        .values({ id, deployment_id: deploymentId, kind, status: 'PENDING', created_by: createdBy })
        .execute()
      return id
    },

    /** The one being worked on, or the next one. */
    async next(deploymentId: string): Promise<OperationRow | undefined> {
      return (await db
        .selectFrom('operation')
        .selectAll()
        .where('deployment_id', '=', deploymentId)
        .where('status', 'in', unended)
        .orderBy(sql`status = 'RUNNING'`, 'desc')
        .orderBy('created_at')
        .limit(1)
        .executeTakeFirst()) as OperationRow | undefined
    },

    async pending(deploymentId: string): Promise<OperationRow[]> {
      return (await db
        .selectFrom('operation')
        .selectAll()
        .where('deployment_id', '=', deploymentId)
        .where('status', 'in', unended)
        .orderBy('created_at')
        .execute()) as OperationRow[]
    },

    /** Newest first. */
    async latest(deploymentId: string, limit: number): Promise<OperationRow[]> {
      return (await db
        .selectFrom('operation')
        .selectAll()
        .where('deployment_id', '=', deploymentId)
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(limit)
        .execute()) as OperationRow[]
    },

    async requestCancel(deploymentId: string): Promise<void> {
      await db
        .updateTable('operation')
        .set({ cancel_requested: true })
        .where('deployment_id', '=', deploymentId)
        .where('status', 'in', unended)
        .execute()
    },

    /** Cancels deploys of the project that wait while a newer one has come; those under way are left to end. */
    async supersedeWaiting(projectId: string, newerDeploymentId: string): Promise<void> {
      await db
        .updateTable('operation')
        .from('deployment')
        .set({ cancel_requested: true, superseded_by: newerDeploymentId })
        .whereRef('deployment.id', '=', 'operation.deployment_id')
        .where('deployment.project_id', '=', projectId)
        .where('deployment.id', '<>', newerDeploymentId)
        .where('operation.kind', '=', 'deploy')
        .where('operation.status', 'in', unended)
        .where('operation.cancel_requested', '=', false)
        .where(eb =>
          eb.or([
            eb('operation.queue_position', 'is not', null),
            // Not begun, though nothing stood before it: no server was there.
            eb.and([
              eb('operation.status', '=', 'PENDING'),
              eb('operation.created_at', '<', sql<Date>`now() - interval '2 seconds'`),
            ]),
          ]),
        )
        .execute()
    },

    async isCancelRequested(operationId: string): Promise<boolean> {
      const row = await db
        .selectFrom('operation')
        .select('cancel_requested')
        .where('id', '=', operationId)
        .executeTakeFirst()
      return row?.cancel_requested === true
    },

    /** Written by the holder of the deployment's lease only. */
    async progress(
      { deploymentId, holder, epoch }: Holder,
      operationId: string,
      change: { status?: OperationStatus; steps?: api.Operation['steps']; queuePosition?: number | null },
    ): Promise<void> {
      const { status, steps, queuePosition } = change
      const ended = status !== undefined && status !== 'RUNNING' && status !== 'PENDING'
      const { numUpdatedRows } = await db
        .updateTable('operation')
        .set({
          ...(status === undefined ? {} : { status }),
          ...(status === 'RUNNING' ? { started_at: sql<Date>`coalesce(started_at, now())`, queue_position: null } : {}),
          ...(ended ? { ended_at: sql<Date>`now()`, queue_position: null } : {}),
          ...(queuePosition === undefined ? {} : { queue_position: queuePosition }),
          ...(steps === undefined ? {} : { steps: JSON.stringify(steps) }),
        })
        .where('id', '=', operationId)
        .where(eb =>
          eb.exists(
            eb
              .selectFrom('deployment')
              .select('deployment.id')
              .where('deployment.id', '=', deploymentId)
              .where('deployment.lease_holder', '=', holder)
              .where('deployment.epoch', '=', epoch),
          ),
        )
        .executeTakeFirst()
      if (numUpdatedRows === 0n) throw new LostLeaseError(deploymentId)
    },
  }
}
