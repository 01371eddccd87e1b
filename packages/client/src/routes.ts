/** Every route that this client calls, as the OpenAPI document spells it. */
export const route = {
  register: { method: 'POST', path: '/api/auth/register' },
  login: { method: 'POST', path: '/api/auth/login' },
  logout: { method: 'POST', path: '/api/auth/logout' },
  verify: { method: 'GET', path: '/api/auth/verify' },
  invite: { method: 'POST', path: '/api/invitations' },
  listTokens: { method: 'GET', path: '/api/tokens' },
  createToken: { method: 'POST', path: '/api/tokens' },
  revokeToken: { method: 'DELETE', path: '/api/tokens/{id}' },
  listProjects: { method: 'GET', path: '/api/projects' },
  createProject: { method: 'POST', path: '/api/projects' },
  getProject: { method: 'GET', path: '/api/projects/{id}' },
  updateProject: { method: 'PATCH', path: '/api/projects/{id}' },
  removeProject: { method: 'DELETE', path: '/api/projects/{id}' },
  listMembers: { method: 'GET', path: '/api/projects/{id}/members' },
  setMember: { method: 'PUT', path: '/api/projects/{id}/members' },
  removeMember: { method: 'DELETE', path: '/api/projects/{id}/members/{userId}' },
  projectAudit: { method: 'GET', path: '/api/projects/{id}/audit' },
  projectLogs: { method: 'GET', path: '/api/projects/{id}/logs' },
  missingSources: { method: 'POST', path: '/api/projects/{id}/sources/missing' },
  deploy: { method: 'POST', path: '/api/deploy' },
  planDeploy: { method: 'POST', path: '/api/deploy/plan' },
  listDeployments: { method: 'GET', path: '/api/deployments' },
  getDeployment: { method: 'GET', path: '/api/deployments/{id}' },
  destroyDeployment: { method: 'DELETE', path: '/api/deployments/{id}' },
  actOnDeployment: { method: 'POST', path: '/api/deployments/{id}/{action}' },
  runCommand: { method: 'POST', path: '/api/deployments/{id}/run' },
  deploymentLogs: { method: 'GET', path: '/api/deployments/{id}/logs' },
  health: { method: 'GET', path: '/api/health' },
} as const satisfies Record<string, { method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'; path: string }>

export type ClientRoute = (typeof route)[keyof typeof route]
export const routes: readonly ClientRoute[] = Object.values(route)

/** Puts values into a route's `{names}`; every name must have one. */
export function pathOf(route: ClientRoute, values: Record<string, string> = {}): string {
  return route.path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name]
    // An empty or dotted part would make it another route after the URL is normalised.
    if (value === undefined || value === '' || value === '.' || value === '..')
      throw new TypeError(`${route.path} needs a value for ${name}`)
    return encodeURIComponent(value)
  })
}
