import { type InstanceStatus, newId } from '@coderunner/contract'
import { type Selectable, sql } from 'kysely'
import type { DB, Db } from '../database.ts'

export type InstanceRow = Omit<Selectable<DB['instance']>, 'kind' | 'status'> & {
  kind: InstanceKind
  status: InstanceStatus
}
export type InstanceKind = 'instance' | 'builder' | 'command'

/** SQL of instances: a row is written before its sandbox is made, and says GONE or FAILED after the sandbox has ended. */
export function instances(db: Db) {
  return {
    /** The id of the sandbox to make. */
    async insert(instance: {
      deploymentId: string
      kind: InstanceKind
      process: string
      number: number
    }): Promise<string> {
      const id = newId()
      await db
        .insertInto('instance')
        .values({
          id,
          deployment_id: instance.deploymentId,
          kind: instance.kind,
          process: instance.process,
          number: instance.number,
          status: 'CREATING',
        })
        .execute()
      return id
    },

    async update(
      id: string,
      change: { status?: InstanceStatus; host?: string; port?: number; exitCode?: number; error?: string },
    ): Promise<void> {
      const { status, host, port, exitCode, error } = change
      const ended = status === 'GONE' || status === 'FAILED'
      await db
        .updateTable('instance')
        .set({
          ...(status === undefined ? {} : { status }),
          ...(status === 'STARTING' ? { started_at: sql<Date>`coalesce(started_at, now())` } : {}),
          ...(ended ? { ended_at: sql<Date>`coalesce(ended_at, now())` } : {}),
          ...(host === undefined ? {} : { host }),
          ...(port === undefined ? {} : { port }),
          ...(exitCode === undefined ? {} : { exit_code: exitCode }),
          ...(error === undefined ? {} : { error_message: error }),
        })
        .where('id', '=', id)
        // What has ended stays ended, whoever comes late.
        .where('status', 'not in', ['FAILED', 'GONE'])
        .execute()
    },

    async ofDeployment(deploymentId: string): Promise<InstanceRow[]> {
      return (await db
        .selectFrom('instance')
        .selectAll()
        .where('deployment_id', '=', deploymentId)
        .orderBy('created_at')
        .execute()) as InstanceRow[]
    },

    /** Ids of everything that may have a sandbox, with the deployment each belongs to. */
    async alive(): Promise<InstanceRow[]> {
      return (await db
        .selectFrom('instance')
        .selectAll()
        .where('status', 'not in', ['GONE', 'FAILED'])
        .execute()) as InstanceRow[]
    },

    async find(id: string): Promise<InstanceRow | undefined> {
      return (await db.selectFrom('instance').selectAll().where('id', '=', id).executeTakeFirst()) as
        | InstanceRow
        | undefined
    },

    /** False when somebody else has moved it meanwhile. */
    async moveOffset(id: string, from: number, to: number): Promise<boolean> {
      const { numUpdatedRows } = await db
        .updateTable('instance')
        .set({ output_offset: to })
        .where('id', '=', id)
        .where('output_offset', '=', from)
        .executeTakeFirst()
      return numUpdatedRows > 0n
    },
  }
}
