import { Auth, Tokens } from './accounts.ts'
import { Deployments } from './deployments.ts'
import { Logs } from './logs.ts'
import { Projects } from './projects.ts'
import { route } from './routes.ts'
import type { HealthDetail } from './shapes.ts'
import { Transport, type TransportOptions } from './transport.ts'

export type ClientOptions = TransportOptions

export interface Client {
  readonly baseUrl: string
  readonly auth: Auth
  readonly tokens: Tokens
  readonly projects: Projects
  readonly deployments: Deployments
  readonly logs: Logs
  health(): Promise<HealthDetail>
}

/** A client of one CodeRunner server. Nothing is sent before a method is called; there is nothing to close. */
export function createClient(options: ClientOptions): Client {
  const transport = new Transport(options)
  return {
    baseUrl: transport.baseUrl,
    auth: new Auth(transport),
    tokens: new Tokens(transport),
    projects: new Projects(transport),
    deployments: new Deployments(transport),
    logs: new Logs(transport),
    health: () => transport.json(route.health),
  }
}
