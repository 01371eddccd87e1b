import type { api } from '@coderunner/contract'
import { planDeployment } from './plan-deployment.ts'

/** The steps of a first deploy, by the planner itself, with what each of them will do. */
export function describePlan(detection: api.Detection): api.PlannedStep[] {
  const command = detection.processes.map(process => process.command).join(', ')
  const descriptions: Record<string, string> = {
    install: detection.install ?? 'Nothing to install',
    build: detection.build ?? 'Keep the source as it is',
    release: detection.release ?? '',
    publish: `Publish the files of ${detection.root === '.' ? 'the project' : (detection.root ?? 'the project')}${detection.indexFallback === true ? ', index.html for unknown paths' : ''}`,
    start: `Run ${command}`,
    health: `Wait until it answers HTTP on port ${detection.port ?? 3000}, or where it is found listening`,
    promote: 'Switch the project’s URL to it',
  }
  const steps = planDeployment(
    { state: 'running', promote: true },
    { detection, released: false, dependenciesReady: false, instances: [], serving: false, releasePending: true },
  )
  return [
    { name: 'analyze', description: `Found ${foundWhat(detection)}` },
    ...steps.map(step => ({ name: step.name, description: descriptions[step.name] ?? '' })),
  ]
}

function foundWhat({ framework, runtime }: api.Detection): string {
  if (framework !== undefined) return `a project made with ${framework}`
  const names = {
    nodejs: 'a Node project',
    python: 'a Python project',
    static: 'a static site',
    command: 'a start command',
  }
  return names[runtime]
}
