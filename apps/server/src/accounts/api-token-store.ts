import { newId } from '@coderunner/contract'
import { type Selectable, sql } from 'kysely'
import type { DB, Db } from '../database.ts'
import type { Principal } from '../http/principal.ts'

export type ApiTokenRow = Omit<Selectable<DB['api_token']>, 'hash'>

const columns = ['id', 'user_id', 'name', 'created_at', 'last_used_at', 'expires_at'] as const

/** SQL of API tokens; only their hashes are kept. */
export function apiTokens(db: Db) {
  return {
    async create(token: { userId: string; name: string; hash: Buffer; expiresAt: Date | null }): Promise<ApiTokenRow> {
      return db
        .insertInto('api_token')
        .values({
          id: newId(),
          user_id: token.userId,
          name: token.name,
          hash: token.hash,
          expires_at: token.expiresAt,
        })
        .returning(columns)
        .executeTakeFirstOrThrow()
    },

    async list(userId: string): Promise<ApiTokenRow[]> {
      return db
        .selectFrom('api_token')
        .select(columns)
        .where('user_id', '=', userId)
        .orderBy('created_at', 'desc')
        .limit(1000)
        .execute()
    },

    async remove(userId: string, id: string): Promise<ApiTokenRow | undefined> {
      return db
        .deleteFrom('api_token')
        .where('user_id', '=', userId)
        .where('id', '=', id)
        .returning(columns)
        .executeTakeFirst()
    },

    /** Whose a token is; notes once a minute that it is used. */
    async owner(hash: Buffer): Promise<Principal | undefined> {
      const found = await db
        .selectFrom('api_token')
        .innerJoin('user', 'user.id', 'api_token.user_id')
        .where('api_token.hash', '=', hash)
        .where(eb => eb.or([eb('api_token.expires_at', 'is', null), eb('api_token.expires_at', '>', sql<Date>`now()`)]))
        .select(['api_token.id as tokenId', 'user.id as userId', 'user.email', 'user.administrator'])
        .select(sql<boolean>`coalesce(api_token.last_used_at < now() - interval '1 minute', true)`.as('noteUse'))
        .executeTakeFirst()
      if (found === undefined) return undefined
      const { tokenId, noteUse, ...user } = found
      if (noteUse)
        await db.updateTable('api_token').set({ last_used_at: sql`now()` }).where('id', '=', tokenId).execute()
      return { ...user, via: 'token' }
    },
  }
}
