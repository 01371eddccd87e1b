export { AgentClient } from './agent-client.ts'
export type { ProcessListing } from './agent-wire.ts'
