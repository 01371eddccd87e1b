import type { Client, Deployment, Operation, Step } from '@coderunner/client'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'

export interface OperationWait {
  client: Client
  deploymentId: string
  /** Without one: whatever the deployment is doing. */
  operationId: string | undefined
  timeoutMs: number
  onSteps: (steps: readonly Step[]) => void
  signal: AbortSignal
}

/** Waits until an operation has ended, however it ended. Exit code 126 when it takes too long. */
export async function waitForOperation(
  wait: OperationWait,
): Promise<{ deployment: Deployment; operation?: Operation }> {
  const { client, deploymentId, signal, timeoutMs } = wait
  const deadline = AbortSignal.timeout(timeoutMs)
  let seen: Deployment | undefined
  for (;;) {
    try {
      seen = await client.deployments.getChanged(deploymentId, seen?.revision, AbortSignal.any([signal, deadline]))
    } catch (error) {
      if (signal.aborted || !deadline.aborted) throw error
      throw tooLate(deploymentId, seen, timeoutMs)
    }
    const operation = seen.operations.find(({ id }) => id === wait.operationId)
    wait.onSteps(operation?.steps ?? seen.steps)
    if (hasEnded(seen, operation, wait.operationId)) return { deployment: seen, ...(operation && { operation }) }
  }
}

function tooLate(deploymentId: string, seen: Deployment | undefined, timeoutMs: number): Failure {
  const status = seen === undefined ? 'not done' : seen.status
  return new Failure('timeout', `Deployment ${deploymentId} is still ${status} after ${formatDuration(timeoutMs)}.`, {
    exitCode: 126,
    hint: 'It goes on at the server: see `coderunner ps`. --wait-timeout gives it longer.',
  })
}

function hasEnded(deployment: Deployment, operation: Operation | undefined, operationId: string | undefined): boolean {
  if (operation !== undefined) return operation.status !== 'PENDING' && operation.status !== 'RUNNING'
  // Nothing to wait for, or gone from the list because much has happened since.
  const working = deployment.operations.some(({ status }) => status === 'PENDING' || status === 'RUNNING')
  return operationId === undefined || deployment.operations.length > 0 ? !working : deployment.status === 'DESTROYED'
}
