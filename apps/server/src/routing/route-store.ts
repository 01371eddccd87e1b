import { sql } from 'kysely'
import type { Db } from '../database.ts'
import type { RoutedDeployment, RoutedProject } from './route-table.ts'

/** SQL of what the route table is made from. */
export function routed(db: Db) {
  return {
    /** All of it as of one moment. */
    async read(): Promise<{ projects: RoutedProject[]; deployments: RoutedDeployment[] }> {
      const [projects, deployments] = await db
        .transaction()
        .setIsolationLevel('repeatable read')
        .setAccessMode('read only')
        .execute(async tx => [
          await tx
            .selectFrom('project')
            .select(['id', 'name', 'port', 'serving_deployment_id'])
            .orderBy('id')
            .execute(),
          await readDeployments(tx),
        ])
      return {
        projects: projects.map(({ serving_deployment_id, ...project }) => ({
          ...project,
          servingDeploymentId: serving_deployment_id ?? undefined,
        })),
        deployments,
      }
    },
  }
}

async function readDeployments(db: Db): Promise<RoutedDeployment[]> {
  const rows = await db
    .selectFrom('deployment')
    .leftJoin('release', 'release.id', 'deployment.release_id')
    .select(['deployment.id', 'deployment.project_id', 'deployment.slug', 'deployment.status', 'deployment.desired'])
    .select(['deployment.error_code', 'deployment.error_message', 'release.site_id'])
    .select(
      sql<RoutedDeployment['upstreams'] | null>`(
        select json_agg(json_build_object('instanceId', i.id, 'host', i.host, 'port', i.port) order by i.created_at)
        from instance i
        where i.deployment_id = deployment.id and i.kind = 'instance' and i.status = 'RUNNING' and i.port is not null
      )`.as('upstreams'),
    )
    .where('deployment.status', '<>', 'DESTROYED')
    .orderBy('deployment.created_at')
    .execute()
  return rows.map(row => ({
    id: row.id,
    projectId: row.project_id,
    slug: row.slug,
    status: row.status as RoutedDeployment['status'],
    desired: row.desired as RoutedDeployment['desired'],
    error: row.error_code === null ? undefined : { code: row.error_code, message: row.error_message ?? '' },
    siteId: row.site_id ?? undefined,
    upstreams: row.upstreams ?? [],
  }))
}
