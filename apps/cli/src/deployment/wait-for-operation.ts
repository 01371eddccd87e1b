import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, Deployment, Operation, Step } from '@coderunner/client'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'

const firstIntervalMs = 60
const longestIntervalMs = 1000

export interface OperationWait {
  client: Client
  deploymentId: string
  /** Without one: whatever the deployment is doing. */
  operationId: string | undefined
  timeoutMs: number
  onSteps: (steps: readonly Step[]) => void
  signal: AbortSignal
  /** Looks at once instead of after the interval; called with the function that does it. */
  onStart?: (lookNow: () => void) => void
}

/**
 * Waits until an operation has ended, however it ended. The API has no push for it, so the deployment is looked at in
 * growing intervals, and at once when something (a log line) says that it goes on. Exit code 126 when it takes too long.
 */
export async function waitForOperation(
  wait: OperationWait,
): Promise<{ deployment: Deployment; operation?: Operation }> {
  const { client, deploymentId, signal, timeoutMs } = wait
  const deadline = Date.now() + timeoutMs
  let interval = firstIntervalMs
  let nudge = new AbortController()
  wait.onStart?.(() => {
    interval = firstIntervalMs
    nudge.abort()
  })
  for (let before = ''; ; ) {
    const deployment = await client.deployments.get(deploymentId, signal)
    const operation = deployment.operations.find(({ id }) => id === wait.operationId)
    const steps = operation?.steps ?? deployment.steps
    wait.onSteps(steps)
    if (hasEnded(deployment, operation, wait.operationId)) return { deployment, ...(operation && { operation }) }
    if (Date.now() > deadline)
      throw new Failure(
        'timeout',
        `Deployment ${deploymentId} is still ${deployment.status} after ${formatDuration(timeoutMs)}.`,
        {
          exitCode: 126,
          hint: 'It goes on at the server: see `coderunner ps`. --wait-timeout gives it longer.',
        },
      )
    const now = JSON.stringify(steps)
    interval = now === before ? Math.min(interval * 1.4, longestIntervalMs) : firstIntervalMs
    before = now
    nudge = await pause(interval, nudge, signal)
  }
}

function hasEnded(deployment: Deployment, operation: Operation | undefined, operationId: string | undefined): boolean {
  if (operation !== undefined) return operation.status !== 'PENDING' && operation.status !== 'RUNNING'
  // Nothing to wait for, or gone from the list because much has happened since.
  const working = deployment.operations.some(({ status }) => status === 'PENDING' || status === 'RUNNING')
  return operationId === undefined || deployment.operations.length > 0 ? !working : deployment.status === 'DESTROYED'
}

/** Gives the controller for the next pause: a new one when this one has been used. */
async function pause(ms: number, nudge: AbortController, signal: AbortSignal): Promise<AbortController> {
  try {
    await sleep(ms, undefined, { signal: AbortSignal.any([nudge.signal, signal]) })
    return nudge
  } catch {
    signal.throwIfAborted()
    return new AbortController() // Nudged.
  }
}
