import type { api } from '@coderunner/contract'
import type { Lease } from './deployment-leases.ts'
import type { DeploymentLog } from './deployment-log.ts'
import type { DeploymentWithProject, OperationRow } from './deployment-store.ts'
import type { Step, StepName } from './plan-deployment.ts'

/** What the steps of one run share. */
export interface StepRun {
  /** As read before the plan was made. */
  deployment: DeploymentWithProject
  /** Undefined while the deployment is only looked after. */
  operation: OperationRow | undefined
  lease: Lease
  /** Aborts when the work is cancelled or the lease is lost. */
  signal: AbortSignal
  log: DeploymentLog
  /** What the analysis found, for the rest of the run: a release keeps it only when there is one. */
  found: {
    detection: api.Detection | undefined
    /** Files of the site that was built and given to the ingress. */
    site?: number
  }
}

export type StepOutcome = 'done' | 'skipped'

/** One executor for each step; a step without one does not compile. */
export type StepExecutors = {
  [Name in StepName]: (run: StepRun, step: Extract<Step, { name: Name }>) => Promise<StepOutcome>
}

export function executeStep(executors: StepExecutors, run: StepRun, step: Step): Promise<StepOutcome> {
  // The table's type pairs each name with its step; the compiler does not follow that through an index.
  const execute = executors[step.name] as (run: StepRun, step: Step) => Promise<StepOutcome>
  return execute(run, step)
}
