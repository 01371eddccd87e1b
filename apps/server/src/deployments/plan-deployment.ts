/**
 * From what a deployment shall be and what is there of it to the steps that are left. Pure: the reconciler observes, asks
 * here, runs the steps and asks again until there is nothing to do, so that a run that was cut off anywhere goes on from
 * what it left behind.
 */
import type { api, InstanceStatus } from '@coderunner/contract'

export interface Desired {
  state: 'running' | 'sleeping' | 'stopped' | 'destroyed'
  /** Shall serve its project's URL. */
  promote: boolean
  /** Instances made before this are replaced: a restart. */
  replaceBefore?: Date
}

export interface ObservedInstance {
  id: string
  kind: 'instance' | 'builder'
  process: string
  number: number
  /** What its row says; `stray` when it has none. */
  row: InstanceStatus | 'stray'
  sandbox: 'running' | 'paused' | 'exited' | 'absent'
  createdAt: Date
}

export interface Observed {
  /** Known from a release, or once this run has analysed the source. */
  detection: Pick<api.Detection, 'runtime' | 'install' | 'build' | 'release' | 'processes'> | undefined
  released: boolean
  /** The source lies in a repository that was not fetched yet. */
  unfetched?: boolean
  /** The dependency layer that the source needs is there. */
  dependenciesReady: boolean
  instances: readonly ObservedInstance[]
  serving: boolean
  /** This deploy has not run the version's release command yet. Other operations never do. */
  releasePending?: boolean
}

export type Step =
  | { name: 'discard'; instanceIds: readonly string[] }
  | { name: 'fetch' }
  | { name: 'analyze' }
  | { name: 'install'; skip: boolean }
  | { name: 'build' }
  | { name: 'release' }
  | { name: 'publish' }
  | { name: 'start'; instances: readonly { process: string; number: number }[] }
  | { name: 'health' }
  | { name: 'promote' }
  | { name: 'drain'; instanceIds: readonly string[] }
  | { name: 'stop'; instanceIds: readonly string[] }
  | { name: 'collect' }
export type StepName = Step['name']

/** Tidying that is no part of the playbook people see. */
export const silentSteps: ReadonlySet<StepName> = new Set<StepName>(['discard', 'collect'])

export function planDeployment(desired: Desired, observed: Observed): Step[] {
  const { live, useless } = sortInstances(observed.instances)
  const tidy: Step[] =
    useless.length > 0 ? [{ name: 'discard', instanceIds: useless.map(instance => instance.id) }] : []
  if (desired.state === 'running') return [...tidy, ...bringUp(desired, observed, live)]
  const collect: Step[] = desired.state === 'destroyed' ? [{ name: 'collect' }] : []
  return [...tidy, ...takeDown(live), ...collect]
}

/** Useless: builders nobody waits for, sandboxes without a row, instances that ended or never came to be. */
function sortInstances(instances: readonly ObservedInstance[]) {
  const isLive = ({ kind, row, sandbox }: ObservedInstance) =>
    kind === 'instance' &&
    (row === 'STARTING' || row === 'RUNNING' || row === 'DRAINING') &&
    (sandbox === 'running' || sandbox === 'paused')
  const isGone = ({ row, sandbox }: ObservedInstance) => (row === 'GONE' || row === 'FAILED') && sandbox === 'absent'
  return {
    live: instances.filter(isLive),
    useless: instances.filter(instance => !isLive(instance) && !isGone(instance)),
  }
}

function bringUp(desired: Desired, observed: Observed, live: readonly ObservedInstance[]): Step[] {
  const { detection } = observed
  // What follows depends on what is fetched, and on what the analysis finds in it: planned when it has.
  if (observed.unfetched === true) return [{ name: 'fetch' }]
  if (detection === undefined) return [{ name: 'analyze' }]
  const promote: Step[] = desired.promote && !observed.serving ? [{ name: 'promote' }] : []
  if (detection.runtime === 'static') {
    const made = detection.install !== undefined || detection.build !== undefined
    const publish: Step[] = [...(made ? build(observed) : []), { name: 'publish' }]
    return [...(observed.released ? [] : publish), ...promote]
  }

  const wanted = detection.processes.flatMap(({ type, count }) =>
    Array.from({ length: count }, (_, index) => ({ process: type, number: index + 1 })),
  )
  const kept = new Map<string, ObservedInstance>()
  const fresh = live.filter(
    ({ row, createdAt }) =>
      row !== 'DRAINING' && (desired.replaceBefore === undefined || createdAt >= desired.replaceBefore),
  )
  for (const instance of fresh.toSorted(byReadiness)) {
    const key = `${instance.process}.${instance.number}`
    if (!kept.has(key)) kept.set(key, instance)
  }
  const missing = wanted.filter(({ process, number }) => !kept.has(`${process}.${number}`))
  const serves = new Set(
    wanted.map(({ process, number }) => kept.get(`${process}.${number}`)).filter(instance => instance !== undefined),
  )
  const replaced = live.filter(instance => !serves.has(instance))
  const unproven = missing.length > 0 || [...serves].some(({ row }) => row !== 'RUNNING')
  return [
    ...(observed.released ? [] : build(observed)),
    ...(detection.release !== undefined && observed.releasePending === true ? [{ name: 'release' } as const] : []),
    ...(missing.length > 0 ? [{ name: 'start', instances: missing } as const] : []),
    ...(unproven ? [{ name: 'health' } as const] : []),
    ...promote,
    ...takeDown(replaced),
  ]
}

function build({ detection, dependenciesReady }: Observed): Step[] {
  const skip = detection?.install === undefined || dependenciesReady
  return [{ name: 'install', skip }, { name: 'build' }]
}

/** Those that answer already come first, then the newest. */
function byReadiness(a: ObservedInstance, b: ObservedInstance): number {
  return Number(b.row === 'RUNNING') - Number(a.row === 'RUNNING') || b.createdAt.getTime() - a.createdAt.getTime()
}

function takeDown(instances: readonly ObservedInstance[]): Step[] {
  if (instances.length === 0) return []
  const instanceIds = instances.map(instance => instance.id)
  return [
    { name: 'drain', instanceIds },
    { name: 'stop', instanceIds },
  ]
}
