/** The life of a deployment. CANCELLED work ends as FAILED with the error code `cancelled`. */
export const deploymentStatuses = [
  'PENDING',
  'PROVISIONING',
  'BUILDING',
  'RUNNING',
  'SLEEPING',
  'STOPPED',
  'FAILED',
  'DESTROYED',
] as const
export type DeploymentStatus = (typeof deploymentStatuses)[number]

export const operationKinds = [
  'deploy',
  'start',
  'stop',
  'restart',
  'wake',
  'sleep',
  'promote',
  'scale',
  'destroy',
] as const
export type OperationKind = (typeof operationKinds)[number]

export const operationStatuses = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const
export type OperationStatus = (typeof operationStatuses)[number]

export const stepStatuses = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'SKIPPED'] as const
export type StepStatus = (typeof stepStatuses)[number]

export const instanceStatuses = ['CREATING', 'STARTING', 'RUNNING', 'DRAINING', 'FAILED', 'GONE'] as const
export type InstanceStatus = (typeof instanceStatuses)[number]

/**
 * What a person may order, and from which status. The server answers 409 by this table and the dashboard disables
 * buttons by it. `destroy` is `DELETE /api/deployments/:id`; the others are `POST /api/deployments/:id/:action`.
 */
export const deploymentActions = {
  start: ['STOPPED', 'FAILED', 'SLEEPING'],
  stop: ['RUNNING', 'SLEEPING'],
  restart: ['RUNNING', 'SLEEPING'],
  promote: ['RUNNING', 'SLEEPING', 'STOPPED'],
  cancel: ['PENDING', 'PROVISIONING', 'BUILDING'],
  destroy: ['PENDING', 'PROVISIONING', 'BUILDING', 'RUNNING', 'SLEEPING', 'STOPPED', 'FAILED'],
} as const satisfies Record<string, readonly DeploymentStatus[]>
export type DeploymentAction = keyof typeof deploymentActions

export function actionAllowedFrom(action: DeploymentAction, status: DeploymentStatus): boolean {
  return (deploymentActions[action] as readonly DeploymentStatus[]).includes(status)
}

/** A deployment in one of these has work going on; everything else rests. */
export const unsettledStatuses = ['PENDING', 'PROVISIONING', 'BUILDING'] as const satisfies readonly DeploymentStatus[]
