import { newId } from '@coderunner/contract'
import { sql } from 'kysely'
import type { Db } from '../database.ts'
import type { SecretBox } from './secret-box.ts'

/** Environment variables of projects: versions that never change, each sealed as one whole. */
export function configuration(db: Db, secretBox: SecretBox) {
  return {
    /** Makes a new version; returns its id. */
    async append(projectId: string, env: Readonly<Record<string, string>>, userId: string | null): Promise<string> {
      const { sealed, keyId } = secretBox.seal(JSON.stringify(env), projectId)
      for (;;) {
        const made = await db
          .insertInto('config_version')
          .values({
            id: newId(),
            project_id: projectId,
            number: sql`(select coalesce(max(number), 0) + 1 from config_version where project_id = ${projectId})`,
            sealed,
            key_id: keyId,
            created_by: userId,
          })
          // Somebody else has just made a version of that number: ours is the next one.
          .onConflict(conflict => conflict.columns(['project_id', 'number']).doNothing())
          .returning('id')
          .executeTakeFirst()
        if (made !== undefined) return made.id
      }
    },

    async read(configVersionId: string): Promise<Record<string, string>> {
      const row = await db
        .selectFrom('config_version')
        .select(['project_id', 'sealed', 'key_id'])
        .where('id', '=', configVersionId)
        .executeTakeFirstOrThrow()
      return JSON.parse(secretBox.open({ sealed: row.sealed, keyId: row.key_id }, row.project_id)) as Record<
        string,
        string
      >
    },

    /** The id of a project's newest version, if it has one. */
    async latest(projectId: string): Promise<string | undefined> {
      const row = await db
        .selectFrom('config_version')
        .select('id')
        .where('project_id', '=', projectId)
        .orderBy('number', 'desc')
        .limit(1)
        .executeTakeFirst()
      return row?.id
    },
  }
}
