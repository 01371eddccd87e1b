import { homedir, userInfo } from 'node:os'

/** The account that owns the application directory and that programs run as by default. */
export interface SandboxUser {
  name: string
  home: string
  /** Absent: the agent has that account already and can become no other. */
  ids?: { uid: number; gid: number }
}

export interface AgentConfig {
  socketPath: string
  appDir: string
  user: SandboxUser
  /** What every program finds in its environment, below what its order sets. */
  env: Readonly<Record<string, string>>
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * - `CR_AGENT_SOCKET`: where to listen. `CR_APP_DIR`: the application directory (`/app`).
 * - `CR_SANDBOX_ENV`: the programs' environment as JSON. It keeps words such as NODE_OPTIONS, meant for the programs,
 *   away from the agent. Without it the programs get the agent's own environment but for `CR_*`.
 * - `CR_AGENT_USER`: `user` (uid and gid 1000, the default of a root agent) or `self` (whoever the agent is, at home in
 *   `CR_HOME`; the default of any other agent).
 */
export function readConfig(env: NodeJS.ProcessEnv = process.env): AgentConfig {
  const problems: string[] = []
  const socketPath = env['CR_AGENT_SOCKET'] ?? ''
  if (!socketPath.startsWith('/')) problems.push('CR_AGENT_SOCKET has to be an absolute path')
  const appDir = env['CR_APP_DIR'] ?? '/app'
  if (!appDir.startsWith('/')) problems.push('CR_APP_DIR has to be an absolute path')
  const kind = env['CR_AGENT_USER'] ?? (process.getuid?.() === 0 ? 'user' : 'self')
  if (kind !== 'user' && kind !== 'self') problems.push('CR_AGENT_USER has to be "user" or "self"')
  const given = env['CR_SANDBOX_ENV'] === undefined ? inherited(env) : parsed(env['CR_SANDBOX_ENV'], problems)
  if (problems.length > 0) throw new Error(problems.join('; '))
  const user: SandboxUser =
    kind === 'user'
      ? { name: 'user', home: '/home/user', ids: { uid: 1000, gid: 1000 } }
      : { name: accountName(), home: env['CR_HOME'] ?? homedir() }
  return { socketPath, appDir, user, env: { PATH: env['PATH'] ?? defaultPath, ...given } }
}

function inherited(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !name.startsWith('CR_')) kept[name] = value
  }
  return kept
}

function parsed(json: string, problems: string[]): Record<string, string> {
  const kept: Record<string, string> = {}
  try {
    for (const [name, value] of Object.entries(JSON.parse(json) as object)) kept[name] = String(value)
  } catch (error) {
    problems.push(`CR_SANDBOX_ENV is no JSON: ${String(error)}`)
  }
  return kept
}

function accountName(): string {
  try {
    return userInfo().username
  } catch {
    // A uid without an account, as containers and tests have.
    return 'user'
  }
}
