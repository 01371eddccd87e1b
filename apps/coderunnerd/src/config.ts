import { homedir, tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { type MachineRegistry, readMachineRegistry } from './machine-registry.ts'

const word = (pattern: string, description: string) => Type.Optional(Type.String({ pattern, description }))
const port = (description: string) =>
  word('^([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$', description)

/** What coderunnerd itself reads. What it only hands on to the server or the ingress is checked by them. */
const Environment = Type.Object({
  CODERUNNER_HOST: word('^[0-9A-Za-z.:_-]{1,253}$', 'an address or host name to listen on, such as 127.0.0.1'),
  CODERUNNER_PORT: port('a port from 0 (any free one) to 65535'),
  CODERUNNER_APPS_PORT: port('a port from 0 (any free one) to 65535'),
  CODERUNNER_PUBLIC_URL: word('^https?://[^/@\\s]+/?$', 'the origin users type, such as https://code.example.com'),
  CODERUNNER_APPS_DOMAIN: word('^[a-z0-9.-]{1,253}$', 'a domain name, such as apps.example.com'),
  CODERUNNER_APPS_SCHEME: word('^https?$', 'http or https'),
  CODERUNNER_DATA_DIR: word('^(/|\\.|[^-])', 'a directory'),
  CODERUNNER_CACHE_DIR: word('^(/|\\.|[^-])', 'a directory'),
  DATABASE_URL: word('^postgres(ql)?://', 'a URL such as postgres://user:password@host/database'),
  DATABASE_DIRECT_URL: word('^postgres(ql)?://', 'a URL such as postgres://user:password@host/database'),
  CODERUNNER_RUNTIME: word('^(host|process)$', 'host or process'),
  CODERUNNER_EGRESS_ALLOW: word(
    '^\\s*$|^\\s*[0-9.]+(/[0-9]{1,2})?(:[0-9]{1,5})?\\s*(,\\s*[0-9.]+(/[0-9]{1,2})?(:[0-9]{1,5})?\\s*)*$',
    'addresses with commas between them, such as 10.1.0.0/16,192.168.1.5:443',
  ),
  CODERUNNER_UID_BASE: word('^[0-9]{4,6}$', 'a number from 1000 to 999990, from which the processes get their uids'),
  CODERUNNER_ON_EXIT: word('^(keep|stop)$', 'keep or stop'),
  NODE_EXTRA_CA_CERTS: Type.Optional(Type.String()),
})

/** Handed on as they are. */
const sharedNames = [
  'CODERUNNER_HOST',
  'CODERUNNER_APPS_DOMAIN',
  'CODERUNNER_APPS_SCHEME',
  'CODERUNNER_APPS_PORT',
  'CODERUNNER_PORT',
  'CODERUNNER_PUBLIC_URL',
  'CODERUNNER_PROJECT_PORTS',
  'CODERUNNER_TRUSTED_PROXIES',
  'CODERUNNER_LOG_LEVEL',
  'NODE_EXTRA_CA_CERTS',
  'TZ',
]
const serverNames = [
  'CODERUNNER_HOSTS',
  'CODERUNNER_SECRET_KEY',
  'CODERUNNER_REGISTRATION',
  'CODERUNNER_CORS_ORIGINS',
  'CODERUNNER_GIT_HTTP_HOSTS',
  'CODERUNNER_RETENTION',
]

export interface Config {
  listen: { host: string; isLoopback: boolean }
  appsDomain: string | undefined
  appsScheme: string
  dataDir: string
  cacheDir: string
  /** Holds a run directory for each instance. */
  runParent: string
  database: { kind: 'embedded' } | { kind: 'external'; url: string; directUrl: string | undefined }
  runtime: 'host' | 'process'
  /** PATH of the children. */
  searchPath: string
  egressAllow: string[]
  /** Users of the children; without `host` they are all ourselves. */
  accounts: Record<'server' | 'ingress' | 'postgres', number>
  onExit: 'keep' | 'stop'
  /** The machine's own certificates, which children must be able to read. */
  extraCaCerts: string | undefined
  /** Variables handed on. */
  environment: { shared: Record<string, string>; server: Record<string, string> }
}

export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(['The configuration cannot be used:', ...problems.map(problem => `  ${problem}`)].join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** @throws ConfigError with everything that is wrong */
export function readConfig(env: Readonly<Record<string, string | undefined>>, isRoot: boolean): Config {
  // `NAME=` in an environment file means the default, as if it were not there.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const problems = [...Value.Errors(Environment, given)].map(({ instancePath }) => {
    const name = instancePath.slice(1) as keyof typeof Environment.properties
    const { description } = Environment.properties[name] as { description?: string }
    return `${name} is “${given[name]}”, but has to be ${description ?? 'text'}`
  })
  const values = given as Static<typeof Environment>
  const host = values.CODERUNNER_HOST ?? '127.0.0.1'
  const runtime = values.CODERUNNER_RUNTIME === 'process' ? 'process' : 'host'
  const uidBase = Number(values.CODERUNNER_UID_BASE ?? 990_000)
  if (uidBase < 1000 || uidBase > 999_990) {
    problems.push(`CODERUNNER_UID_BASE is ${uidBase}, but has to be from 1000 to 999990`)
  }
  if (values.DATABASE_DIRECT_URL !== undefined && values.DATABASE_URL === undefined) {
    problems.push('DATABASE_DIRECT_URL is set, but DATABASE_URL is not')
  }
  if (runtime === 'process' && !isLoopback(host)) {
    problems.push(
      `CODERUNNER_HOST is “${host}”: CODERUNNER_RUNTIME=process does not isolate what it runs, so it listens on 127.0.0.1 only`,
    )
  }
  if (problems.length > 0) throw new ConfigError(problems)
  const home = values.CODERUNNER_DATA_DIR
  return {
    listen: { host, isLoopback: isLoopback(host) },
    appsDomain: values.CODERUNNER_APPS_DOMAIN ?? (isLoopback(host) ? 'localhost' : undefined),
    appsScheme: values.CODERUNNER_APPS_SCHEME ?? 'http',
    dataDir: resolve(
      home ??
        (isRoot ? '/var/lib/coderunner' : join(env['XDG_DATA_HOME'] ?? join(homedir(), '.local/share'), 'coderunner')),
    ),
    cacheDir: resolve(
      values.CODERUNNER_CACHE_DIR ?? (isRoot ? '/var/cache/coderunner' : join(homedir(), '.cache/coderunner')),
    ),
    runParent:
      runtime === 'host' ? '/run/coderunner' : join(env['XDG_RUNTIME_DIR'] || tmpdir(), `coderunner-${userInfo().uid}`),
    database:
      values.DATABASE_URL === undefined
        ? { kind: 'embedded' }
        : { kind: 'external', url: values.DATABASE_URL, directUrl: values.DATABASE_DIRECT_URL },
    runtime,
    searchPath: runtime === 'host' ? systemPath : ownPath(env['PATH']),
    egressAllow: (values.CODERUNNER_EGRESS_ALLOW ?? '').split(',').flatMap(item => item.trim() || []),
    accounts: { server: uidBase + 1, ingress: uidBase + 2, postgres: uidBase + 3 },
    onExit: values.CODERUNNER_ON_EXIT === 'stop' ? 'stop' : 'keep',
    extraCaCerts: values.NODE_EXTRA_CA_CERTS,
    environment: { shared: pick(given, sharedNames), server: pick(given, serverNames) },
  }
}

const systemPath = '/usr/local/bin:/usr/bin:/bin'

/**
 * Without isolation applications are built with what the account finds, a Node version manager's npm for instance; but
 * not with the tools of our own repository, which `npm start` puts first.
 */
function ownPath(path = ''): string {
  const places = path
    .split(':')
    .filter(place => place.startsWith('/') && !/\/node_modules\/|\/node-gyp-bin$/.test(place))
  return places.join(':') || systemPath
}

/** Names of this machine itself. Anything unknown counts as open to others. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)
}

function pick(env: Record<string, string | undefined>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap(name => (env[name] === undefined ? [] : [[name, env[name]]])))
}

/** Everything this process takes from its surroundings, read once. */
export function readEnvironment(): { config: Config; registry: MachineRegistry } {
  return { config: readConfig(process.env, process.getuid?.() === 0), registry: readMachineRegistry(process.env) }
}
