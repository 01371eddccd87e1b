import { homedir } from 'node:os'
import { join } from 'node:path'
import { UsageError } from './usage-error.ts'

export interface Settings {
  /** Origin of the server's API. */
  url: string
  /** From CODERUNNER_TOKEN; it goes before what `login` has stored. */
  token: string | undefined
  /** From CODERUNNER_GIT_TOKEN: reads a private repository. */
  gitToken: string | undefined
  credentialsFile: string
  /** Of the user's own; what lies there can be made again. */
  cacheDirectory: string
  /** NO_COLOR is set to anything. */
  noColour: boolean
  /** CI is set: nobody watches and nobody answers, also where a terminal is pretended. */
  ci: boolean
  dumbTerminal: boolean
}

export function readConfig(env: NodeJS.ProcessEnv = process.env): Settings {
  const home = env['HOME'] ?? homedir()
  const configHome = env['XDG_CONFIG_HOME']
  const cacheHome = env['XDG_CACHE_HOME']
  return {
    url: readServerUrl(present(env['CODERUNNER_URL']) ?? 'http://127.0.0.1:3000', 'CODERUNNER_URL'),
    token: present(env['CODERUNNER_TOKEN']),
    gitToken: present(env['CODERUNNER_GIT_TOKEN']),
    // The XDG specification: a relative path there is to be ignored.
    cacheDirectory: join(cacheHome?.startsWith('/') === true ? cacheHome : join(home, '.cache'), 'coderunner'),
    credentialsFile: join(
      configHome?.startsWith('/') === true ? configHome : join(home, '.config'),
      'coderunner',
      'credentials.json',
    ),
    noColour: present(env['NO_COLOR']) !== undefined,
    ci: present(env['CI']) !== undefined && env['CI'] !== 'false',
    dumbTerminal: env['TERM'] === 'dumb',
  }
}

/** Normalises the address of a server, so that one server has one entry among the credentials. */
export function readServerUrl(text: string, name: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new UsageError(`${name} is “${text}”, which is not an http or https URL, such as http://127.0.0.1:3000.`)
  if (url.username !== '' || url.password !== '')
    throw new UsageError(`${name} holds a user name or password: use CODERUNNER_TOKEN or \`coderunner login\`.`)
  return (url.origin + url.pathname).replace(/\/+$/, '')
}

function present(value: string | undefined): string | undefined {
  const trimmed = value?.trim()
  return trimmed === undefined || trimmed === '' ? undefined : trimmed
}
