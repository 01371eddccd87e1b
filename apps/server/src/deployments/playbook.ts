import type { api } from '@coderunner/contract'
import { type Step, silentSteps } from './plan-deployment.ts'

type Recorded = api.Operation['steps'][number]

/** The steps of one operation as people see them. Pure; the reconciler writes `steps` down after each change. */
export class Playbook {
  #steps: Recorded[]

  /** `recorded`: what an earlier run of the same operation has written. */
  constructor(recorded: readonly Recorded[]) {
    this.#steps = recorded.map(step => ({ ...step }))
  }

  get steps(): Recorded[] {
    return this.#steps.map(step => ({ ...step }))
  }

  /** Puts the planned steps behind those that are done. One that was cut off and is not planned again has had its effect. */
  plan(planned: readonly Step[]): void {
    const names = planned.map(step => step.name).filter(name => !silentSteps.has(name))
    const kept = this.#steps.flatMap<Recorded>(step => {
      if (step.status === 'PENDING') return []
      if (step.status === 'RUNNING')
        return names.includes(step.name as Step['name']) ? [] : [{ ...step, status: 'SUCCEEDED' }]
      return [step]
    })
    // Done again, after a crash or an attempt that failed: shown once.
    const before = kept.filter(step => !names.includes(step.name as Step['name']))
    this.#steps = [...before, ...names.map(name => ({ name, status: 'PENDING' as const }))]
  }

  begin(name: string): void {
    this.#change(name, step => ({ name: step.name, status: 'RUNNING' }))
  }

  end(name: string, status: 'SUCCEEDED' | 'SKIPPED', durationMs: number): void {
    this.#change(name, step => ({ ...step, status, durationMs: Math.round(durationMs) }))
  }

  /** The step failed; those after it are skipped. */
  fail(name: string | undefined, error: { code: string; message: string }, durationMs: number): void {
    if (name !== undefined)
      this.#change(name, step => ({ ...step, status: 'FAILED', durationMs: Math.round(durationMs), error }))
    this.close()
  }

  /** Nothing more will be done. */
  close(): void {
    this.#steps = this.#steps.map(step => (step.status === 'PENDING' ? { ...step, status: 'SKIPPED' } : step))
  }

  #change(name: string, change: (step: Recorded) => Recorded): void {
    this.#steps = this.#steps.map(step => (step.name === name ? change(step) : step))
  }
}
