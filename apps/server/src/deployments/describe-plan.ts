import type { api } from '@coderunner/contract'
import { planDeployment } from './plan-deployment.ts'

/** The steps of a first deploy, by the planner itself, with what each of them will do. */
export function describePlan(detection: api.Detection): api.PlannedStep[] {
  const command = detection.processes.map(process => process.command).join(', ')
  const descriptions: Record<string, string> = {
    install: detection.install ?? 'Nothing to install',
    build: detection.build ?? 'Keep the source as it is',
    publish: `Publish the files of ${detection.root === '.' ? 'the project' : (detection.root ?? 'the project')}`,
    start: `Run ${command}`,
    health: `Wait until it answers HTTP on port ${detection.port ?? 3000}, or where it is found listening`,
    promote: 'Switch the project’s URL to it',
  }
  const steps = planDeployment(
    { state: 'running', promote: true },
    { detection, released: false, dependenciesReady: false, instances: [], serving: false },
  )
  return [
    { name: 'analyze', description: `Found a ${detection.runtime} project` },
    ...steps.map(step => ({ name: step.name, description: descriptions[step.name] ?? '' })),
  ]
}
