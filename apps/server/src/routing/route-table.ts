/**
 * What the ingress shall serve, made from what the database says. Pure. With a domain (wildcard DNS) every project and
 * every deployment has a name below it; without one each project has a port of its own.
 */
import type { DeploymentStatus, Route, RouteTarget, Upstream } from '@coderunner/contract'

export interface RoutedProject {
  id: string
  name: string
  port: number
  servingDeploymentId: string | undefined
}

export interface RoutedDeployment {
  id: string
  projectId: string
  slug: string
  status: DeploymentStatus
  desired: 'running' | 'sleeping' | 'stopped' | 'destroyed'
  error: { code: string; message: string } | undefined
  /** Its release is a static site. */
  siteId: string | undefined
  /** Instances that answer and are not being drained. */
  upstreams: readonly Upstream[]
}

export function routesOf(
  projects: readonly RoutedProject[],
  deployments: readonly RoutedDeployment[],
  domain: string | undefined,
): Route[] {
  const byProject = Map.groupBy(deployments, deployment => deployment.projectId)
  return projects.flatMap(project => {
    const own = (byProject.get(project.id) ?? []).filter(({ status }) => status !== 'DESTROYED')
    const routes = own.map(deployment => routeOf(project, deployment, domain))
    if (!own.some(({ id }) => id === project.servingDeploymentId)) routes.push(emptyRoute(project, own, domain))
    return routes.filter(route => route.hosts.length > 0 || route.port !== undefined)
  })
}

function routeOf(project: RoutedProject, deployment: RoutedDeployment, domain: string | undefined): Route {
  const serving = deployment.id === project.servingDeploymentId
  const hosts = [
    hostOf(`${deployment.slug}--${project.name}`, domain),
    serving ? hostOf(project.name, domain) : undefined,
  ]
  return {
    hosts: hosts.filter(host => host !== undefined),
    ...(serving && domain === undefined ? { port: project.port } : {}),
    project: project.name,
    deploymentId: deployment.id,
    target: targetOf(deployment),
  }
}

/** The project's own URL while nothing serves it. */
function emptyRoute(project: RoutedProject, own: readonly RoutedDeployment[], domain: string | undefined): Route {
  const host = hostOf(project.name, domain)
  const latest = own.at(-1)
  const target =
    latest === undefined || latest.status === 'STOPPED' || latest.status === 'SLEEPING'
      ? unavailable('no_deployment', 'Nothing is deployed to this project yet.', 30)
      : latest.status === 'RUNNING'
        ? unavailable('not_promoted', 'A deployment runs but none serves this address; promote one.', 30)
        : targetOf(latest)
  return {
    hosts: host === undefined ? [] : [host],
    ...(domain === undefined ? { port: project.port } : {}),
    project: project.name,
    deploymentId: latest?.id ?? '',
    target: target.kind === 'unavailable' ? target : unavailable('deploying', 'The first deployment is on its way.', 3),
  }
}

export function targetOf(deployment: RoutedDeployment): RouteTarget {
  const { status, desired, siteId, upstreams, error } = deployment
  if (desired === 'destroyed') return unavailable('destroyed', 'This deployment is being removed.', 30)
  if (status === 'FAILED') {
    const cause = error?.message.split('\n', 1)[0] ?? 'It did not come up.'
    return unavailable(error?.code ?? 'failed', `This deployment failed: ${cause}`, 30)
  }
  if (status === 'STOPPED' || desired === 'stopped') return unavailable('stopped', 'This deployment is stopped.', 30)
  if (siteId !== undefined) return { kind: 'static', siteId }
  if (upstreams.length > 0) return { kind: 'instances', upstreams: [...upstreams] }
  // Waking (PROVISIONING): what is held keeps waiting.
  if (status === 'SLEEPING' || status === 'PROVISIONING' || desired === 'sleeping') return { kind: 'sleeping' }
  if (status === 'RUNNING') return unavailable('restarting', 'It ended and is being restarted.', 1)
  return unavailable('deploying', 'This deployment is being built.', 3)
}

function hostOf(label: string, domain: string | undefined): string | undefined {
  return domain === undefined ? undefined : `${label}.${domain}`
}

function unavailable(code: string, message: string, retryAfterS: number): RouteTarget {
  return { kind: 'unavailable', code, message, retryAfterS }
}
