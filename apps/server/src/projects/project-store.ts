import { newId, type Role } from '@coderunner/contract'
import { type Selectable, sql } from 'kysely'
import type { DB, Db } from '../database.ts'
import { decodeCursor, type Page, pageOf } from '../http/page.ts'

export type ProjectRow = Selectable<DB['project']>
export type ProjectRef = { projectId: string } | { name: string }
export type ProjectWithRole = ProjectRow & { role: Role }
export interface MemberRow {
  user_id: string
  email: string
  role: Role
  created_at: Date
}

/** SQL of projects and their members. */
export function projects(db: Db) {
  const withRole = (userId: string) =>
    db
      .selectFrom('project')
      .innerJoin('project_member', 'project_member.project_id', 'project.id')
      .where('project_member.user_id', '=', userId)
      .selectAll('project')
      .select(sql<Role>`project_member.role`.as('role'))

  return {
    /** The project and the user's role in it; nothing when it does not exist or is not theirs. */
    async findForMember(userId: string, ref: ProjectRef): Promise<ProjectWithRole | undefined> {
      const query = withRole(userId)
      return 'name' in ref
        ? query.where('project.name', '=', ref.name).executeTakeFirst()
        : query.where('project.id', '=', ref.projectId).executeTakeFirst()
    },

    async pageForMember(userId: string, options: { limit: number; cursor?: string }): Promise<Page<ProjectWithRole>> {
      let query = withRole(userId)
        .orderBy('project.name')
        .limit(options.limit + 1)
      if (options.cursor !== undefined)
        query = query.where('project.name', '>', decodeCursor(options.cursor, ['string'])[0])
      return pageOf(
        await query.execute(),
        options.limit,
        row => [row.name],
        row => row,
      )
    },

    async namesForMember(userId: string): Promise<ReadonlySet<string>> {
      return new Set((await withRole(userId).execute()).map(({ name }) => name))
    },

    async nameTaken(name: string): Promise<boolean> {
      return (await db.selectFrom('project').select('id').where('name', '=', name).executeTakeFirst()) !== undefined
    },

    /** Takes the lowest free port; nothing when the name or, by a concurrent insert, that port was taken. */
    async insert(
      project: { name: string; description: string },
      ports: { first: number; last: number },
    ): Promise<ProjectRow | undefined> {
      const port = db
        .selectFrom(
          sql<{ port: number }>`generate_series(${ports.first}::integer, ${ports.last}::integer)`.as<'free'>(
            sql`free(port)`,
          ),
        )
        .leftJoin('project', 'project.port', 'free.port')
        .where('project.id', 'is', null)
        .select(eb => [
          eb.val(newId()).as('id'),
          eb.val(project.name).as('name'),
          eb.val(project.description).as('description'),
          eb.ref('free.port').as('port'),
        ])
        .orderBy('free.port')
        .limit(1)
      return db
        .insertInto('project')
        .columns(['id', 'name', 'description', 'port'])
        .expression(port)
        .onConflict(conflict => conflict.doNothing())
        .returningAll()
        .executeTakeFirst()
    },

    async update(projectId: string, change: { description: string }): Promise<ProjectRow> {
      return db.updateTable('project').set(change).where('id', '=', projectId).returningAll().executeTakeFirstOrThrow()
    },

    /** Holds the row until the transaction ends, so that two changes of the same project follow each other. */
    async lock(projectId: string): Promise<void> {
      await db.selectFrom('project').select('id').where('id', '=', projectId).forUpdate().execute()
    },

    async hasDeployments(projectId: string): Promise<boolean> {
      const left = await db
        .selectFrom('deployment')
        .select('id')
        .where('project_id', '=', projectId)
        .where('status', '<>', 'DESTROYED')
        .limit(1)
        .executeTakeFirst()
      return left !== undefined
    },

    async remove(projectId: string): Promise<void> {
      await db.deleteFrom('project').where('id', '=', projectId).execute()
    },

    async members(projectId: string): Promise<MemberRow[]> {
      return db
        .selectFrom('project_member')
        .innerJoin('user', 'user.id', 'project_member.user_id')
        .where('project_member.project_id', '=', projectId)
        .select(['project_member.user_id', 'user.email', 'project_member.created_at'])
        .select(sql<Role>`project_member.role`.as('role'))
        .orderBy('user.email')
        .execute()
    },

    async setMember(projectId: string, userId: string, role: Role): Promise<void> {
      await db
        .insertInto('project_member')
        .values({ project_id: projectId, user_id: userId, role })
        .onConflict(conflict => conflict.columns(['project_id', 'user_id']).doUpdateSet({ role }))
        .execute()
    },

    async removeMember(projectId: string, userId: string): Promise<boolean> {
      const { numDeletedRows } = await db
        .deleteFrom('project_member')
        .where('project_id', '=', projectId)
        .where('user_id', '=', userId)
        .executeTakeFirst()
      return numDeletedRows > 0n
    },

    async ownersBesides(projectId: string, userId: string): Promise<number> {
      const { count } = await db
        .selectFrom('project_member')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .where('project_id', '=', projectId)
        .where('role', '=', 'owner')
        .where('user_id', '<>', userId)
        .executeTakeFirstOrThrow()
      return count
    },

    async userIdOf(email: string): Promise<string | undefined> {
      const user = await db.selectFrom('user').select('id').where('email', '=', email.toLowerCase()).executeTakeFirst()
      return user?.id
    },
  }
}
