import type { Client, Deployment, LogEntry } from '@coderunner/client'
import { Failure } from '../failure.ts'
import { safeLines, safeText } from '../terminal/safe-text.ts'
import type { Screen } from '../terminal/screen.ts'
import { StepsView } from '../terminal/steps-view.ts'
import { DeploymentLog } from './deployment-log.ts'
import { waitForOperation } from './wait-for-operation.ts'

const tailLines = 20
const catchUpMs = 5000

export interface WatchOptions {
  client: Client
  screen: Screen
  signal: AbortSignal
  deploymentId: string
  operationId: string | undefined
  timeoutMs: number
  /** Show the log beside the steps; otherwise, and with --quiet, only its last lines after a failure. */
  log: boolean
}

/**
 * Shows an operation until it has ended well, and gives the deployment as it is then. When it ended badly: the step, the
 * reason and the last lines of the log, and a Failure.
 */
export async function watchOperation(options: WatchOptions): Promise<Deployment> {
  const { client, screen, signal, deploymentId, operationId, timeoutMs } = options
  const showLog = options.log && !screen.quiet
  const view = new StepsView(screen)
  const logEnd = new AbortController()
  const tail: LogEntry[] = []
  const log = new DeploymentLog({
    client,
    deploymentId,
    onEntries: entries => {
      tail.push(...entries)
      tail.splice(0, tail.length - tailLines)
      if (showLog) for (const entry of entries) screen.outputLine(logLine(entry))
    },
  })
  const following = showLog ? log.follow(AbortSignal.any([signal, logEnd.signal])) : Promise.resolve()
  try {
    const { deployment, operation } = await waitForOperation({
      client,
      deploymentId,
      operationId,
      timeoutMs,
      signal,
      onSteps: steps => view.update(steps),
    })
    logEnd.abort()
    await following
    view.end()
    const failed = operation === undefined ? deployment.status === 'FAILED' : operation.status !== 'SUCCEEDED'
    if (showLog || failed)
      await log.catchUp(AbortSignal.any([signal, AbortSignal.timeout(catchUpMs)])).catch(() => undefined)
    if (failed) throw failureOf(deployment, operation ?? deployment.operations[0], showLog ? [] : tail, screen)
    return deployment
  } finally {
    logEnd.abort()
    view.end()
  }
}

function failureOf(
  deployment: Deployment,
  operation: Deployment['operations'][number] | undefined,
  tail: readonly LogEntry[],
  screen: Screen,
): Failure {
  for (const entry of tail) screen.outputLine(logLine(entry), { always: true })
  const step = operation?.steps.find(({ status }) => status === 'FAILED')
  const error = step?.error ?? deployment.error
  const kind = operation?.kind ?? 'deploy'
  if (operation?.status === 'CANCELLED' && deployment.error?.code === 'superseded')
    return new Failure('superseded', safeText(deployment.error.message))
  if (operation?.status === 'CANCELLED') return new Failure('cancelled', `The ${kind} was cancelled.`)
  const where = step === undefined ? `The ${kind} failed` : `The ${kind} failed at step ${safeText(step.name)}`
  const why = error === undefined ? '' : `: ${safeLines(error.message)}`
  return new Failure(error?.code ?? 'start_failed', `${where}${why}`, {
    hint: `The whole log: coderunner logs ${deployment.id} --all`,
  })
}

/** A line as it is shown beside the steps: with the instance's name where several may speak. */
function logLine(entry: LogEntry): string {
  return entry.instance === '' ? entry.message : `${entry.instance} ${entry.message}`
}
