import type { DeployOptions } from '@coderunner/client'
import type { Options, OptionTable } from '../command.ts'
import { readChoice, readInteger, readVariables } from '../command-line.ts'
import { UsageError } from '../usage-error.ts'

const runtimes = ['nodejs', 'python', 'static', 'command'] as const

/** What a deployment is told, by `deploy` and by `dev`. */
export const deployOptions = {
  project: { type: 'string', short: 'p', value: 'NAME', help: 'Project; made when there is none of this name' },
  env: { type: 'string', short: 'e', value: 'K=V', multiple: true, help: 'Environment variable; may be repeated' },
  'import-env': { type: 'boolean', help: 'Take the variables of the folder’s .env file; the file itself stays here' },
  port: { type: 'string', value: 'N', help: 'Port the application listens on (it is given as PORT too)' },
  build: { type: 'string', value: 'CMD', help: 'Build command, instead of the one found; “” for none' },
  start: { type: 'string', value: 'CMD', help: 'Start command, instead of the one found' },
  directory: { type: 'string', value: 'DIR', help: 'Folder within the upload that is deployed' },
  runtime: { type: 'string', value: 'R', help: `Runtime, instead of the one found: ${runtimes.join(', ')}` },
} as const satisfies OptionTable

export function readDeployOptions(given: Options<typeof deployOptions>): Omit<DeployOptions, 'project'> {
  return {
    ...(given.runtime !== undefined && { runtime: readChoice(given.runtime, '--runtime', runtimes) }),
    ...(given.env !== undefined && { env: readVariables(given.env) }),
    ...(given.port !== undefined && { port: readInteger(given.port, '--port', { min: 1, max: 65_535 }) }),
    ...(given.build !== undefined && { build: given.build }),
    ...(given.start !== undefined && { start: given.start }),
    ...(given.directory !== undefined && { directory: directoryWithin(given.directory) }),
  }
}

function directoryWithin(text: string): string {
  const parts = text.split('/').filter(part => part !== '' && part !== '.')
  if (text.startsWith('/') || parts.includes('..') || parts.length === 0)
    throw new UsageError(`--directory takes a folder within the upload, such as apps/web, not “${text}”.`)
  return parts.join('/')
}
