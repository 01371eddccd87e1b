import { newId } from '@coderunner/contract'
import { sql } from 'kysely'
import type { Db } from '../database.ts'

export interface SessionOwner {
  sessionId: string
  userId: string
  email: string
  administrator: boolean
  expiresAt: Date
}

/** Registering takes turns, so that there is one first account and one of every e-mail. */
const registrationLock = 1_668_245_094

const invitationPrefix = 'invitation:'

/** SQL of users, sessions and invitations, besides what better-auth does itself. */
export function accounts(db: Db) {
  return {
    async lockRegistration(): Promise<void> {
      await sql`select pg_advisory_xact_lock(${registrationLock}::bigint)`.execute(db)
    },

    async anyUser(): Promise<boolean> {
      return (await db.selectFrom('user').select('id').limit(1).executeTakeFirst()) !== undefined
    },

    async emailTaken(email: string): Promise<boolean> {
      const user = await db.selectFrom('user').select('id').where('email', '=', email).executeTakeFirst()
      return user !== undefined
    },

    async makeAdministrator(userId: string): Promise<void> {
      await db.updateTable('user').set({ administrator: true }).where('id', '=', userId).execute()
    },

    async sessionOf(token: string): Promise<{ id: string; expires_at: Date }> {
      return db.selectFrom('session').select(['id', 'expires_at']).where('token', '=', token).executeTakeFirstOrThrow()
    },

    /** Whose a session is, as long as it has neither expired nor been revoked. */
    async sessionOwner(sessionId: string): Promise<SessionOwner | undefined> {
      return db
        .selectFrom('session')
        .innerJoin('user', 'user.id', 'session.user_id')
        .where('session.id', '=', sessionId)
        .where('session.expires_at', '>', sql<Date>`now()`)
        .select([
          'session.id as sessionId',
          'user.id as userId',
          'user.email',
          'user.administrator',
          'session.expires_at as expiresAt',
        ])
        .executeTakeFirst()
    },

    async sessionsOf(userId: string) {
      return db
        .selectFrom('session')
        .select(['id', 'ip_address', 'user_agent', 'created_at', 'expires_at'])
        .where('user_id', '=', userId)
        .where('expires_at', '>', sql<Date>`now()`)
        .orderBy('created_at', 'desc')
        .limit(200)
        .execute()
    },

    /** Ends sessions of a user (one, or all but one); every server is told when the transaction commits. */
    async revokeSessions(userId: string, which: { only: string } | { besides: string }): Promise<string[]> {
      let query = db.deleteFrom('session').where('user_id', '=', userId).returning('id')
      query = 'only' in which ? query.where('id', '=', which.only) : query.where('id', '<>', which.besides)
      const revoked = (await query.execute()).map(({ id }) => id)
      for (const id of revoked) await sql`select pg_notify('session_revoked', ${id})`.execute(db)
      return revoked
    },

    async removeExpiredSessions(): Promise<void> {
      await db.deleteFrom('session').where('expires_at', '<', sql<Date>`now()`).execute()
    },

    /** Invitations lie in better-auth's table of things that wait to be verified; `hash` is of the secret. */
    async addInvitation(hash: string, invitedBy: string, expiresAt: Date): Promise<void> {
      await db
        .insertInto('verification')
        .values({ id: newId(), identifier: invitationPrefix + hash, value: invitedBy, expires_at: expiresAt })
        .execute()
    },

    /** Uses an invitation up; false when there is none, or it has expired or was used. */
    async takeInvitation(hash: string): Promise<boolean> {
      const { numDeletedRows } = await db
        .deleteFrom('verification')
        .where('identifier', '=', invitationPrefix + hash)
        .where('expires_at', '>', sql<Date>`now()`)
        .executeTakeFirst()
      return numDeletedRows > 0n
    },
  }
}
