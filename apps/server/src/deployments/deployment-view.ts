import { createHash } from 'node:crypto'
import type { api } from '@coderunner/contract'
import type { Urls } from '../projects/urls.ts'
import type { DeploymentWithProject, OperationRow } from './deployment-store.ts'
import type { InstanceRow } from './instance-store.ts'

/** Rows as the API shows them. */
export function deploymentSummary(row: DeploymentWithProject, urls: Urls): api.DeploymentSummary {
  const project = { name: row.project_name, port: row.project_port }
  const runtime = row.detection?.runtime ?? row.options.runtime
  return {
    id: row.id,
    projectId: row.project_id,
    project: row.project_name,
    status: row.status,
    serving: row.serving,
    url: urls.projectUrl(project),
    deploymentUrl: urls.deploymentUrl(row.slug, project),
    ...(runtime === undefined ? {} : { runtime }),
    createdAt: row.created_at.toISOString(),
    ...(row.error_code === null ? {} : { error: { code: row.error_code, message: row.error_message ?? '' } }),
  }
}

/** `operations`: newest first. */
export function deploymentDetail(
  row: DeploymentWithProject,
  operations: readonly OperationRow[],
  instances: readonly InstanceRow[],
  urls: Urls,
): api.Deployment {
  const detail = {
    ...deploymentSummary(row, urls),
    ...(row.release_id === null ? {} : { releaseId: row.release_id }),
    ...(row.detection === null ? {} : { detection: row.detection }),
    ...queuePosition(operations[0]),
    processes: row.processes,
    steps: operations[0]?.steps ?? [],
    operations: operations.map(operationView),
    instances: instances.filter(({ kind }) => kind === 'instance').map(instanceView),
  }
  return { ...detail, revision: createHash('sha256').update(JSON.stringify(detail)).digest('base64url').slice(0, 16) }
}

function queuePosition(operation: OperationRow | undefined): { queuePosition?: number } {
  if (operation === undefined || operation.queue_position === null || operation.ended_at !== null) return {}
  return { queuePosition: operation.queue_position }
}

function operationView(row: OperationRow): api.Operation {
  return {
    id: row.id,
    kind: row.kind,
    status: row.status,
    steps: row.steps,
    createdAt: row.created_at.toISOString(),
    ...(row.ended_at === null ? {} : { endedAt: row.ended_at.toISOString() }),
  }
}

function instanceView(row: InstanceRow): api.Deployment['instances'][number] {
  return {
    id: row.id,
    process: row.process,
    number: row.number,
    status: row.status,
    ...(row.started_at === null ? {} : { startedAt: row.started_at.toISOString() }),
    ...(row.exit_code === null ? {} : { exitCode: row.exit_code }),
  }
}
