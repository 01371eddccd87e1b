import { BlockList, isIP } from 'node:net'
import path from 'node:path'

export interface IngressConfig {
  /** Where applications are served. Port 0: any free one. */
  host: string
  appsPort: number
  /** routes.json and the static sites. */
  dataDirectory: string
  /** Unix socket for the server's orders. */
  controlSocket: string
  /** Unix socket of the server, for waking deployments. Without one, sleeping deployments cannot be woken. */
  serverSocket?: string
  /** Peers whose `X-Forwarded-*` headers are believed. */
  trustedProxies: BlockList
  logLevel: string
  /** File descriptor on which readiness is announced. */
  readyFd?: number
  limits: IngressLimits
}

export interface IngressLimits {
  /** Requests waiting for sleeping deployments, all together. */
  heldRequests: number
  wakeTimeoutMs: number
  /** Time an application has for the head of its answer. */
  answerTimeoutMs: number
  /** How long a request's body may stand still. */
  bodyIdleMs: number
  headersTimeoutMs: number
  /** How long requests may go on when the ingress ends. */
  shutdownMs: number
}

export const defaultLimits: IngressLimits = {
  heldRequests: 1000,
  wakeTimeoutMs: 60_000,
  answerTimeoutMs: 300_000,
  bodyIdleMs: 120_000,
  headersTimeoutMs: 30_000,
  shutdownMs: 10_000,
}

/** Reads the environment; all that is wrong with it is in the one error thrown. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): IngressConfig {
  const problems: string[] = []
  const problem = (message: string): undefined => void problems.push(message)
  const required = (name: string) => env[name] || problem(`${name} is missing`) || ''
  const integer = (name: string, fallback: number | undefined, max: number) => {
    const text = env[name]
    if (text === undefined || text === '') return fallback
    const value = Number(text)
    if (/^\d{1,6}$/.test(text) && value <= max) return value
    return problem(`${name} must be a whole number from 0 to ${max}, not ${JSON.stringify(text)}`)
  }
  const trustedProxies = new BlockList()
  for (const entry of (env['CODERUNNER_TRUSTED_PROXIES'] ?? '').split(',').map(word => word.trim())) {
    if (entry !== '' && !trust(trustedProxies, entry))
      problem(`CODERUNNER_TRUSTED_PROXIES: ${JSON.stringify(entry)} is not an address or a range such as 10.0.0.0/8`)
  }
  const logLevel = env['CODERUNNER_LOG_LEVEL'] || 'info'
  if (!['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].includes(logLevel))
    problem(`CODERUNNER_LOG_LEVEL: ${JSON.stringify(logLevel)} is not a level`)
  const serverSocket = env['CODERUNNER_SERVER_SOCKET']
  const readyFd = integer('CODERUNNER_READY_FD', undefined, 1024)
  const config: IngressConfig = {
    host: env['CODERUNNER_HOST'] || '127.0.0.1',
    appsPort: integer('CODERUNNER_APPS_PORT', 3080, 65_535) ?? 3080,
    dataDirectory: path.resolve(required('CODERUNNER_INGRESS_DATA')),
    controlSocket: required('CODERUNNER_INGRESS_SOCKET'),
    ...(serverSocket ? { serverSocket } : {}),
    trustedProxies,
    logLevel,
    ...(readyFd === undefined ? {} : { readyFd }),
    limits: defaultLimits,
  }
  if (problems.length > 0) throw new Error(`The ingress cannot start:\n${problems.map(line => `  ${line}`).join('\n')}`)
  return config
}

function trust(list: BlockList, entry: string): boolean {
  const [address = '', bits, ...rest] = entry.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  const family = version === 6 ? 'ipv6' : 'ipv4'
  if (bits === undefined) list.addAddress(address, family)
  else if (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 6 ? 128 : 32))
    list.addSubnet(address, Number(bits), family)
  else return false
  return true
}
