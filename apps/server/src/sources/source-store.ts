import { newId } from '@coderunner/contract'
import type { Db } from '../database.ts'
import { isLink, type SourceEntry, type SourceTree, treeHash } from './source-tree.ts'

/** SQL of uploads: which contents a project has, and the lists of files that name them. */
export function sources(db: Db) {
  return {
    /** Sizes of those of `hashes` that the project has. */
    async sizes(projectId: string, hashes: readonly string[]): Promise<Map<string, number>> {
      if (hashes.length === 0) return new Map()
      const rows = await db
        .selectFrom('source_blob')
        .select(['hash', 'size'])
        .where('project_id', '=', projectId)
        .where(eb => eb('hash', '=', eb.fn.any(eb.val([...hashes]))))
        .execute()
      return new Map(rows.map(row => [row.hash, row.size]))
    },

    async addBlobs(projectId: string, blobs: ReadonlyMap<string, number>): Promise<void> {
      const rows = [...blobs].map(([hash, size]) => ({ project_id: projectId, hash, size }))
      for (let at = 0; at < rows.length; at += 5000)
        await db
          .insertInto('source_blob')
          .values(rows.slice(at, at + 5000))
          .onConflict(conflict => conflict.doNothing())
          .execute()
    },

    /** The id of a source with this content: an equal one of the project is used again. */
    async add(projectId: string, tree: SourceTree): Promise<string> {
      const { id } = await db
        .insertInto('source')
        .values({ id: newId(), project_id: projectId, hash: treeHash(tree), files: JSON.stringify(tree) })
        // Changes nothing; `do nothing` would return no row.
        .onConflict(conflict => conflict.columns(['project_id', 'hash']).doUpdateSet({ project_id: projectId }))
        .returning('id')
        .executeTakeFirstOrThrow()
      return id
    },

    async read(sourceId: string): Promise<{ projectId: string; hash: string; tree: SourceTree }> {
      const row = await db
        .selectFrom('source')
        .select(['project_id', 'hash', 'files'])
        .where('id', '=', sourceId)
        .executeTakeFirstOrThrow()
      return { projectId: row.project_id, hash: row.hash, tree: row.files as SourceEntry[] }
    },

    /** Drops uploads that nothing refers to any more; the hashes no upload of the project names then, to be removed from disk. */
    async removeUnused(projectId: string, unusedSince: Date): Promise<string[]> {
      await db
        .deleteFrom('source')
        .where('project_id', '=', projectId)
        .where('created_at', '<', unusedSince)
        .where(eb =>
          eb.not(
            eb.exists(eb.selectFrom('deployment').select('id').whereRef('deployment.source_id', '=', 'source.id')),
          ),
        )
        .where(eb =>
          eb.not(eb.exists(eb.selectFrom('release').select('id').whereRef('release.source_id', '=', 'source.id'))),
        )
        .execute()
      const rest = await db.selectFrom('source').select('files').where('project_id', '=', projectId).execute()
      const named = new Set(
        rest.flatMap(row => (row.files as SourceEntry[]).flatMap(entry => (isLink(entry) ? [] : [entry.hash]))),
      )
      const old = await db
        .selectFrom('source_blob')
        .select('hash')
        .where('project_id', '=', projectId)
        .where('created_at', '<', unusedSince)
        .execute()
      const unused = old.map(row => row.hash).filter(hash => !named.has(hash))
      for (let at = 0; at < unused.length; at += 5000)
        await db
          .deleteFrom('source_blob')
          .where('project_id', '=', projectId)
          .where('hash', 'in', unused.slice(at, at + 5000))
          .execute()
      return unused
    },
  }
}
