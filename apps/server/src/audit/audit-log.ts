import type { api } from '@coderunner/contract'
import type { Selectable } from 'kysely'
import type { Static } from 'typebox'
import type { DB, Db } from '../database.ts'
import { decodeCursor, type Page, pageOf } from '../http/page.ts'

type AuditEvent = Static<typeof api.AuditEvent>

export interface NewAuditEvent {
  /** Who did it; nobody for what the server did by itself. */
  userId: string | null
  /** The project it happened in, where it happened in one. */
  projectId?: string | null
  /** A permission-like word such as `member:write` or `deployment:create`. */
  action: string
  /** What it was done to: an id or a name. */
  subject: string
  /** Never a secret. */
  details?: Record<string, unknown>
}

/** The trail of who did what. `append` takes the transaction of the change, so that neither is there without the other. */
export function audit(db: Db) {
  return {
    async append(event: NewAuditEvent): Promise<void> {
      await db
        .insertInto('audit_event')
        .values({
          user_id: event.userId,
          project_id: event.projectId ?? null,
          action: event.action,
          subject: event.subject,
          details: JSON.stringify(event.details ?? {}),
        })
        .execute()
    },

    /** Events of a project, newest first. */
    async page(projectId: string, { limit, cursor }: { limit: number; cursor?: string }): Promise<Page<AuditEvent>> {
      let query = db
        .selectFrom('audit_event')
        .selectAll()
        .where('project_id', '=', projectId)
        .orderBy('id', 'desc')
        .limit(limit + 1)
      if (cursor !== undefined) query = query.where('id', '<', decodeCursor(cursor, ['number'])[0])
      return pageOf(await query.execute(), limit, row => [row.id], toAuditEvent)
    },
  }
}

function toAuditEvent(row: Selectable<DB['audit_event']>): AuditEvent {
  return {
    id: String(row.id),
    time: row.time.toISOString(),
    ...(row.user_id !== null && { userId: row.user_id }),
    action: row.action,
    subject: row.subject,
    details: row.details as Record<string, unknown>,
  }
}
