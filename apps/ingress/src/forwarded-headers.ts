import type { IncomingMessage } from 'node:http'
import type { BlockList } from 'node:net'
import { requestHost } from './request-host.ts'

/** Meant for one connection only (RFC 9110 §7.6.1). Expect is answered by the ingress itself. */
const hopByHop = new Set([
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
])
const ours = new Set(['forwarded', 'x-real-ip', 'x-request-id'])

export interface Forwarding {
  requestId: string
  clientAddress: string
  /** Flat list of names and values, ready for the upstream; Host is among them, unchanged. */
  headers: string[]
}

/**
 * The headers for the application: those of the client without what concerns the connection alone, and with
 * `X-Forwarded-For/-Proto/-Host/-Port` and `X-Request-Id` as the ingress sees them. What the client says of these is
 * believed only when it is a trusted proxy.
 */
export function forwardedHeaders(
  request: IncomingMessage,
  options: { trustedProxies: BlockList; requestId: string },
): Forwarding {
  const { rawHeaders, headers: given } = request
  const peer = plainAddress(request.socket.remoteAddress ?? '')
  const trusted = isTrusted(options.trustedProxies, peer)
  const named = given.connection === undefined ? undefined : connectionOptions(given.connection)
  const headers: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase()
    if (hopByHop.has(name) || ours.has(name) || name.startsWith('x-forwarded-') || named?.has(name)) continue
    headers.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
  }

  const host = given.host ?? ''
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
  return { requestId: options.requestId, clientAddress: peer, headers }
}

/** An answer's headers without those of the connection. Changes and returns what it is given. */
export function endToEndHeaders<T extends Record<string, string | string[] | undefined>>(headers: T): T {
  const connection = headers['connection']
  if (connection !== undefined) for (const name of connectionOptions(String(connection))) delete headers[name]
  delete headers['connection']
  delete headers['keep-alive']
  delete headers['proxy-connection']
  delete headers['transfer-encoding']
  delete headers['upgrade']
  return headers
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

function isTrusted(list: BlockList, peer: string): boolean {
  return list.rules.length > 0 && list.check(peer, peer.includes(':') ? 'ipv6' : 'ipv4')
}

const plainAddress = (address: string) => (address.startsWith('::ffff:') ? address.slice(7) : address)
const header = (value: string | string[] | undefined) =>
  (Array.isArray(value) ? value.join(', ') : (value ?? '')).trim()
const oneOf = (value: string, allowed: string[]) => (allowed.includes(value.toLowerCase()) ? value.toLowerCase() : '')
const validHost = (value: string) => (requestHost(value) === undefined ? '' : value)
