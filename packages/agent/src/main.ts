/** Entry inside a sandbox. Needs Node and, for terminals only, `@lydell/node-pty` where Node finds it. */
import { once } from 'node:events'
import { AgentServer } from './agent-server.ts'
import { readConfig } from './config.ts'

const config = readConfig()
if (config.user.ids !== undefined) process.setgroups?.([])
process.umask(0o022)
const server = await AgentServer.start(config)
await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
await server[Symbol.asyncDispose]()
process.exit(0)
