import type { IncomingMessage } from 'node:http'
import type { BlockList } from 'node:net'
import { isSessionCookie, sessionCookieNames } from '@coderunner/contract'
import { requestHost } from './request-host.ts'

/** Meant for one connection only (RFC 9110 §7.6.1). Expect is answered by the ingress itself. */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'http2-settings',
]
/** Set by the ingress, as are all that begin with `x-forwarded-`. */
const ours = ['forwarded', 'x-real-ip', 'x-request-id', 'host']
const dropped: ReadonlySet<string> = new Set([...hopByHop, ...ours])

interface HeaderRule {
  name: string
  isDropped: boolean
}
/** By the name as it was sent: to bring each to lower case and look it up anew would cost more than all the rest. */
const rules = new Map<string, HeaderRule>()
const keptRules = 1000

function ruleOf(sent: string): HeaderRule {
  const known = rules.get(sent)
  if (known !== undefined) return known
  const name = sent.toLowerCase()
  const rule = { name, isDropped: dropped.has(name) || name.startsWith('x-forwarded-') }
  if (rules.size < keptRules) rules.set(sent, rule)
  return rule
}

/**
 * The headers for the application, as a flat list of names and values: Host, those of the client without what concerns the connection alone, and with
 * `X-Forwarded-For/-Proto/-Host/-Port` and `X-Request-Id` as the ingress sees them. What the client says of these is
 * believed only when it is a trusted proxy. The dashboard's session cookie is left out: on the same host, browsers send it
 * here too.
 */
export function forwardedHeaders(
  request: IncomingMessage,
  options: { trustedProxies: TrustedProxies; requestId: string; host: string },
): string[] {
  const { rawHeaders, headers: given } = request
  const { host } = options
  const peer = plainAddress(request.socket.remoteAddress ?? '')
  const trusted = options.trustedProxies.trusts(peer)
  const named = given.connection === undefined ? undefined : connectionOptions(given.connection)
  const headers: string[] = ['Host', host]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const rule = ruleOf(rawHeaders[i] as string)
    if (rule.isDropped || named?.has(rule.name)) continue
    const sent = rawHeaders[i + 1] as string
    const value = rule.name === 'cookie' ? withoutSessionCookie(sent) : sent
    if (value !== undefined) headers.push(rawHeaders[i] as string, value)
  }

  const before = trusted ? header(given['x-forwarded-for']) : ''
  const proto = (trusted && oneOf(header(given['x-forwarded-proto']), ['http', 'https'])) || 'http'
  const forwardedHost = (trusted && validHost(header(given['x-forwarded-host']))) || host
  const port =
    (trusted && /^\d{1,5}$/.exec(header(given['x-forwarded-port']))?.[0]) ||
    requestHost(forwardedHost)?.port ||
    (proto === 'https' ? '443' : '80')
  headers.push(
    'X-Forwarded-For',
    before === '' ? peer : `${before}, ${peer}`,
    'X-Forwarded-Proto',
    proto,
    'X-Forwarded-Host',
    forwardedHost,
    'X-Forwarded-Port',
    port,
    'X-Request-Id',
    options.requestId,
  )
  return headers
}

/** Nothing when no other cookie is left. */
function withoutSessionCookie(cookies: string): string | undefined {
  if (!cookies.includes(sessionCookieNames.http)) return cookies
  const left = cookies.split(';').filter(cookie => !isSessionCookie(cookie))
  return left.length === 0 ? undefined : left.join(';').trimStart()
}

/** An answer's headers without those of the connection and without a session cookie of the dashboard. */
export function endToEndHeaders(rawHeaders: readonly string[]): string[] {
  const headers: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name, value] = [rawHeaders[i] as string, rawHeaders[i + 1] as string]
    if (!ofConnection.has(name.toLowerCase()) && !setsSessionCookie(name, value)) headers.push(name, value)
  }
  return headers
}
const ofConnection = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

/** An application that set it would log its visitors in as somebody, or out, at the dashboard. */
export function setsSessionCookie(name: string, value: string): boolean {
  return name.length === 10 && name.toLowerCase() === 'set-cookie' && isSessionCookie(value)
}

/** Headers a sender must not strip by naming them in Connection. */
const endToEnd = new Set(['host', 'content-length', 'content-type', 'cookie', 'authorization', 'set-cookie'])

function connectionOptions(value: string): Set<string> {
  if (value === 'keep-alive' || value === 'close') return noOptions
  const names = value.split(',').map(name => name.trim().toLowerCase())
  return new Set(names.filter(name => !endToEnd.has(name)))
}
const noOptions: Set<string> = new Set()

const generatedPrefix = crypto.randomUUID().slice(0, 8)
let generated = 0

/** The client's request id when it is a sane one, else one of our own. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  if (typeof given === 'string' && /^[\w.-]{8,64}$/.test(given)) return given
  generated = (generated + 1) % Number.MAX_SAFE_INTEGER
  return `${generatedPrefix}-${generated.toString(36).padStart(6, '0')}`
}

/** Peers whose `X-Forwarded-*` headers are believed. */
export class TrustedProxies {
  readonly #list: BlockList
  readonly #isEmpty: boolean

  constructor(list: BlockList) {
    this.#list = list
    this.#isEmpty = list.rules.length === 0
  }

  trusts(peer: string): boolean {
    return !this.#isEmpty && this.#list.check(peer, peer.includes(':') ? 'ipv6' : 'ipv4')
  }
}

const plainAddress = (address: string) => (address.startsWith('::ffff:') ? address.slice(7) : address)
const header = (value: string | string[] | undefined) =>
  (Array.isArray(value) ? value.join(', ') : (value ?? '')).trim()
const oneOf = (value: string, allowed: string[]) => (allowed.includes(value.toLowerCase()) ? value.toLowerCase() : '')
const validHost = (value: string) => (requestHost(value) === undefined ? '' : value)
