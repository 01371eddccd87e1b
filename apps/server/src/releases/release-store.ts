import { type api, newId } from '@coderunner/contract'
import { sql } from 'kysely'
import type { Db } from '../database.ts'

export type NewRelease = {
  projectId: string
  sourceId: string
  detection: api.Detection
} & ({ layers: readonly string[] } | { siteId: string })

/** How long dependencies are kept that no release uses: the next attempt after a failed build needs them. */
const unusedLayerHours = 24

/** SQL of releases and of the layers they are made of. */
export function releases(db: Db) {
  return {
    async insert(release: NewRelease): Promise<string> {
      const id = newId()
      await db
        .insertInto('release')
        .values({
          id,
          project_id: release.projectId,
          source_id: release.sourceId,
          detection: JSON.stringify(release.detection),
          layers: 'layers' in release ? [...release.layers] : [],
          site_id: 'siteId' in release ? release.siteId : null,
        })
        .execute()
      return id
    },

    /** Before a layer is captured, and whenever it is used again. */
    async noteLayer(layer: { id: string; projectId: string; kind: 'dependencies' | 'build' }): Promise<void> {
      await db
        .insertInto('layer')
        .values({ id: layer.id, project_id: layer.projectId, kind: layer.kind })
        .onConflict(conflict => conflict.column('id').doUpdateSet({ used_at: sql<Date>`now()` }))
        .execute()
    },

    /** Drops releases that no deployment has any more; returns the sites they had. */
    async removeUnused(projectId: string): Promise<string[]> {
      const removed = await db
        .deleteFrom('release')
        .where('project_id', '=', projectId)
        .where(eb =>
          eb.not(
            eb.exists(
              eb
                .selectFrom('deployment')
                .select('deployment.id')
                .whereRef('deployment.release_id', '=', 'release.id')
                .where('deployment.status', '<>', 'DESTROYED'),
            ),
          ),
        )
        // A release is inserted a moment before its deployment names it.
        .where('created_at', '<', sql<Date>`now() - interval '1 hour'`)
        .returning('site_id')
        .execute()
      return removed.flatMap(row => row.site_id ?? [])
    },

    /** Layers that nothing needs: without a row, or in no release and not of use soon. */
    async uselessLayers(existing: readonly string[]): Promise<string[]> {
      if (existing.length === 0) return []
      const rows = await db
        .selectFrom('layer')
        .select('id')
        .where('id', 'in', [...existing])
        .where(eb =>
          eb.or([
            sql<boolean>`used_at > now() - case kind when 'dependencies' then make_interval(hours => ${unusedLayerHours}) else interval '1 hour' end`,
            eb.exists(
              eb.selectFrom('release').select('release.id').where(sql<boolean>`layer.id = any(release.layers)`),
            ),
          ]),
        )
        .execute()
      const needed = new Set(rows.map(row => row.id))
      return existing.filter(id => !needed.has(id))
    },

    async forgetLayers(ids: readonly string[]): Promise<void> {
      if (ids.length > 0)
        await db
          .deleteFrom('layer')
          .where('id', 'in', [...ids])
          .execute()
    },
  }
}
