import { isLoopback } from './http/known-hosts.ts'
import type { AppsAddress } from './projects/urls.ts'

/** Everything the server is told by its environment, checked. Secrets have no default. */
export interface Config {
  listen: { host: string; port: number }
  /** Origin of the API and the dashboard as users type it. */
  publicUrl: string
  /** Neither the listener nor the public URL can be reached from another machine. */
  loopbackOnly: boolean
  /** More host names to answer to. */
  hosts: string[]
  apps: AppsAddress
  /** Ports for projects of their own. */
  projectPorts: { first: number; last: number }
  database: { url: string; directUrl?: string }
  /** The server's own folder: blobs, logs, the key. */
  dataDirectory: string
  sockets: { own?: string; host?: string; ingress?: string }
  secretKey?: Buffer
  registration: { mode: RegistrationMode; setupToken?: string }
  corsOrigins: string[]
  trustedProxies: string[]
  runtime: Runtime
  /** What becomes of sandboxes without isolation when the server ends; coderunnerd sees to the others. */
  onExit: OnExit
  /** Where programs such as npm are, for sandboxes that see the machine's. */
  searchPath: string
  /** Deployments of a project that are kept besides the serving one. */
  retention: number
  /** `host[:port]` of servers whose repositories may be fetched by plain http, besides https ones. */
  gitHttpHosts: string[]
  /** Where builders find packages: the machine's own settings, never a token. */
  builderEnvironment: Record<string, string>
  logLevel: LogLevel
  /** Descriptor on which coderunnerd waits to hear that the server is ready. */
  readyFd?: number
}

const registrationModes = ['open', 'invite', 'closed'] as const
const runtimes = ['host', 'process'] as const
const onExits = ['keep', 'stop'] as const
const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type RegistrationMode = (typeof registrationModes)[number]
export type Runtime = (typeof runtimes)[number]
export type OnExit = (typeof onExits)[number]
export type LogLevel = (typeof logLevels)[number]

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`The configuration is not valid:\n${problems.map(problem => `  ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

interface Variable<T> {
  parse: (text: string) => T
  fallback?: string
  required?: true
}

const text = (value: string) => value
const list = (value: string) => value.split(',').flatMap(item => item.trim() || [])

/** Every variable the server reads; `parse` throws what is wrong with a value. */
const variables = {
  CODERUNNER_HOST: { parse: text, fallback: '127.0.0.1' },
  CODERUNNER_PORT: { parse: port, fallback: '3000' },
  CODERUNNER_PUBLIC_URL: { parse: origin },
  CODERUNNER_HOSTS: { parse: list, fallback: '' },
  CODERUNNER_APPS_PORT: { parse: port, fallback: '3080' },
  CODERUNNER_APPS_DOMAIN: { parse: domain },
  CODERUNNER_APPS_SCHEME: { parse: oneOf(['http', 'https']), fallback: 'http' },
  CODERUNNER_PROJECT_PORTS: { parse: portRange, fallback: '20000-29999' },
  DATABASE_URL: { parse: text, required: true },
  DATABASE_DIRECT_URL: { parse: text },
  CODERUNNER_SERVER_DATA: { parse: text, required: true },
  CODERUNNER_SERVER_SOCKET: { parse: text },
  CODERUNNER_HOST_SOCKET: { parse: text },
  CODERUNNER_INGRESS_SOCKET: { parse: text },
  CODERUNNER_SECRET_KEY: { parse: key },
  CODERUNNER_REGISTRATION: { parse: oneOf(registrationModes) },
  CODERUNNER_SETUP_TOKEN: { parse: text },
  CODERUNNER_CORS_ORIGINS: { parse: (value: string) => list(value).map(origin), fallback: '' },
  CODERUNNER_TRUSTED_PROXIES: { parse: list, fallback: '' },
  CODERUNNER_RUNTIME: { parse: oneOf(runtimes), fallback: 'host' },
  CODERUNNER_ON_EXIT: { parse: oneOf(onExits), fallback: 'keep' },
  PATH: { parse: text, fallback: '/usr/local/bin:/usr/bin:/bin' },
  CODERUNNER_BUILD_ENV: { parse: variableMap, fallback: '{}' },
  CODERUNNER_GIT_HTTP_HOSTS: { parse: list, fallback: '' },
  CODERUNNER_RETENTION: { parse: integer(0, 1000), fallback: '10' },
  CODERUNNER_LOG_LEVEL: { parse: oneOf(logLevels), fallback: 'info' },
  CODERUNNER_READY_FD: { parse: integer(0, 1023) },
} satisfies Record<string, Variable<unknown>>

type Variables = typeof variables
type Values = {
  [Name in keyof Variables]:
    | ReturnType<Variables[Name]['parse']>
    | (Variables[Name] extends { fallback: string } | { required: true } ? never : undefined)
}

/** Pure: checks the environment as a whole and throws ConfigError with all that is wrong with it. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): Config {
  const values = readVariables(env)
  const host = values.CODERUNNER_HOST
  const urlHost = isLoopback(host) || host === '0.0.0.0' || host === '::' ? 'localhost' : bracketed(host)
  const publicUrl = values.CODERUNNER_PUBLIC_URL ?? `http://${urlHost}:${values.CODERUNNER_PORT}`
  const loopbackOnly = isLoopback(host) && isLoopback(new URL(publicUrl).hostname)
  // Without isolation every account of this server has the machine's own: there is one of them, and it sits here.
  const isolated = values.CODERUNNER_RUNTIME === 'host'
  const mode = values.CODERUNNER_REGISTRATION ?? (loopbackOnly && isolated ? 'open' : 'closed')
  if (!isolated && (!loopbackOnly || mode !== 'closed'))
    throw new ConfigError([
      'CODERUNNER_RUNTIME=process runs code without isolation: that is refused where others could reach it. Keep CODERUNNER_HOST and CODERUNNER_PUBLIC_URL on loopback and CODERUNNER_REGISTRATION closed.',
    ])
  const appsDomain = values.CODERUNNER_APPS_DOMAIN ?? (loopbackOnly ? 'localhost' : undefined)
  return {
    listen: { host, port: values.CODERUNNER_PORT },
    publicUrl,
    loopbackOnly,
    hosts: values.CODERUNNER_HOSTS,
    apps: {
      scheme: values.CODERUNNER_APPS_SCHEME,
      host: new URL(publicUrl).hostname,
      port: values.CODERUNNER_APPS_PORT,
      ...optional('domain', appsDomain),
    },
    projectPorts: values.CODERUNNER_PROJECT_PORTS,
    database: { url: values.DATABASE_URL, ...optional('directUrl', values.DATABASE_DIRECT_URL) },
    dataDirectory: values.CODERUNNER_SERVER_DATA,
    sockets: {
      ...optional('own', values.CODERUNNER_SERVER_SOCKET),
      ...optional('host', values.CODERUNNER_HOST_SOCKET),
      ...optional('ingress', values.CODERUNNER_INGRESS_SOCKET),
    },
    ...optional('secretKey', values.CODERUNNER_SECRET_KEY),
    registration: {
      mode,
      ...optional('setupToken', values.CODERUNNER_SETUP_TOKEN),
    },
    corsOrigins: values.CODERUNNER_CORS_ORIGINS,
    trustedProxies: values.CODERUNNER_TRUSTED_PROXIES,
    runtime: values.CODERUNNER_RUNTIME,
    onExit: values.CODERUNNER_ON_EXIT,
    searchPath: values.PATH,
    retention: values.CODERUNNER_RETENTION,
    gitHttpHosts: values.CODERUNNER_GIT_HTTP_HOSTS,
    builderEnvironment: values.CODERUNNER_BUILD_ENV,
    logLevel: values.CODERUNNER_LOG_LEVEL,
    ...optional('readyFd', values.CODERUNNER_READY_FD),
  }
}

function readVariables(env: Readonly<Record<string, string | undefined>>): Values {
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, variable] of Object.entries<Variable<unknown>>(variables)) {
    // An empty value is what `VARIABLE=` in an environment file gives: it counts as absent.
    const given = env[name]?.trim() || variable.fallback
    if (given === undefined) {
      if (variable.required) problems.push(`${name} is not set.`)
      continue
    }
    try {
      values[name] = variable.parse(given)
    } catch (error) {
      problems.push(`${name} ${(error as Error).message}.`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return values as Values
}

/** Variables for builders, as a JSON object of strings. */
function variableMap(value: string): Record<string, string> {
  const problem = new Error('must be a JSON object of strings')
  let map: unknown
  try {
    map = JSON.parse(value)
  } catch {
    throw problem
  }
  if (typeof map !== 'object' || map === null || !Object.values(map).every(item => typeof item === 'string'))
    throw problem
  return map as Record<string, string>
}

function optional<Name extends string, T>(name: Name, value: T | undefined): { [Key in Name]?: T } {
  return (value === undefined ? {} : { [name]: value }) as { [Key in Name]?: T }
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

function integer(minimum: number, maximum: number) {
  return (value: string): number => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : -1
    if (number < minimum || number > maximum) throw new Error(`must be a whole number from ${minimum} to ${maximum}`)
    return number
  }
}

function port(value: string): number {
  return integer(0, 65_535)(value)
}

function portRange(value: string): { first: number; last: number } {
  const [, first = '', last = ''] = /^(\d{4,5})-(\d{4,5})$/.exec(value) ?? []
  const range = { first: Number(first), last: Number(last) }
  if (range.first < 1024 || range.last > 65_535 || range.first > range.last)
    throw new Error('must be a range of ports from 1024 up, such as 20000-29999')
  return range
}

function origin(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '')
    throw new Error(`must be an origin such as https://coderunner.example.com, without a path`)
  return url.origin
}

function domain(value: string): string {
  const name = value.toLowerCase()
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(name)) throw new Error('must be a domain name such as apps.example.com')
  return name
}

function key(value: string): Buffer {
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length !== 32) throw new Error('must be 32 bytes in base64: openssl rand -base64 32')
  return bytes
}

function oneOf<const T extends readonly string[]>(values: T) {
  return (value: string): T[number] => {
    if (!values.includes(value)) throw new Error(`must be one of ${values.join(', ')}`)
    return value
  }
}
