import type { Step } from '@coderunner/client'
import { formatDuration } from '../duration.ts'
import { safeText } from './safe-text.ts'
import type { Screen } from './screen.ts'

const nameWidth = 10

/** Prints a playbook as it goes on: each step once when it begins (plain) and once when it has ended. */
export class StepsView {
  readonly #screen: Screen
  readonly #shown = new Map<string, string>()
  #running: string | undefined
  #runningSince = 0

  constructor(screen: Screen) {
    this.#screen = screen
  }

  /** Takes the whole list each time and prints what has changed. */
  update(steps: readonly Step[]): void {
    for (const [index, step] of steps.entries()) {
      // A playbook may hold a step of one name twice: the place tells them apart.
      const key = `${index}:${step.name}`
      const before = this.#shown.get(key)
      if (before === step.status) continue
      this.#shown.set(key, step.status)
      this.#print(step)
    }
    const running = steps.find(step => step.status === 'RUNNING')
    if (running?.name === this.#running) return
    this.#running = running?.name
    this.#runningSince = Date.now()
    this.#screen.activity(
      running &&
        (() => `${safeText(running.name).padEnd(nameWidth)} ${formatDuration(Date.now() - this.#runningSince)}`),
    )
  }

  end(): void {
    this.#screen.activity(undefined)
  }

  #print(step: Step): void {
    const screen = this.#screen
    const name = safeText(step.name).padEnd(nameWidth)
    const duration = step.durationMs === undefined ? '' : formatDuration(step.durationMs)
    switch (step.status) {
      case 'PENDING':
        return
      case 'RUNNING':
        if (!screen.live) screen.note(`${safeText(step.name)}...`)
        return
      case 'SUCCEEDED':
        return screen.note(`${screen.style('green', '✓')} ${name} ${screen.style('dim', duration)}`.trimEnd())
      case 'SKIPPED':
        return screen.note(screen.style('dim', `- ${name} skipped`))
      case 'FAILED':
        return screen.note(`${screen.style('red', '✗')} ${name} ${screen.style('dim', duration)}`.trimEnd())
    }
  }
}
