/** Roles of a member in a project, weakest first. */
export const roles = ['viewer', 'developer', 'owner'] as const
export type Role = (typeof roles)[number]

/** Everything a route can ask for in a project. Each role may do what is in its row. */
const permissions = {
  viewer: ['project:read', 'deployment:read', 'logs:read', 'members:read'],
  developer: [
    'project:read',
    'project:update',
    'deployment:read',
    'deployment:create',
    'deployment:control',
    'deployment:run',
    'logs:read',
    'members:read',
    'audit:read',
  ],
  owner: [
    'project:read',
    'project:update',
    'project:delete',
    'deployment:read',
    'deployment:create',
    'deployment:control',
    'deployment:destroy',
    'deployment:run',
    'logs:read',
    'members:read',
    'members:write',
    'audit:read',
  ],
} as const satisfies Record<Role, readonly string[]>

export type Permission = (typeof permissions)['owner'][number]

export function allows(role: Role, permission: Permission): boolean {
  return (permissions[role] as readonly Permission[]).includes(permission)
}
