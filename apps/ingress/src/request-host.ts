import type { IncomingMessage } from 'node:http'

const labels = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/
const address = /^\[[0-9a-f:.]{2,45}\]$/

export interface RequestHost {
  /** Lower case, without port and trailing dot. */
  name: string
  port: string
}

/** The host a request asks for, or undefined when the Host header is none. */
export function requestHost(header: string): RequestHost | undefined {
  if (header.length > 260) return undefined
  const colon = header.lastIndexOf(':')
  const hasPort = colon > header.lastIndexOf(']') && colon >= 0
  const port = hasPort ? header.slice(colon + 1) : ''
  if (hasPort && !/^\d{0,5}$/.test(port)) return undefined
  let name = (hasPort ? header.slice(0, colon) : header).toLowerCase()
  if (name.endsWith('.')) name = name.slice(0, -1)
  if (!labels.test(name) && !address.test(name)) return undefined
  return { name, port }
}

const absoluteForm = /^https?:\/\/([^/?#@]+)([/?][^#]*)?$/i

/**
 * The host and the path of a request. In absolute form (`GET http://host/path`) the target's host counts and not that of
 * the Host header (RFC 9112 §3.2.2); `*` is the path of an OPTIONS request to the server as a whole.
 */
export function requestTarget({
  url = '',
  method,
  headers,
}: IncomingMessage): { host: string; path: string } | undefined {
  const host = headers.host ?? ''
  if (url.startsWith('/')) return { host, path: url }
  if (url === '*' && method === 'OPTIONS') return { host, path: url }
  const [, authority, path = ''] = absoluteForm.exec(url) ?? []
  if (authority === undefined) return undefined
  if (path === '' && method === 'OPTIONS') return { host: authority, path: '*' }
  return { host: authority, path: path.startsWith('/') ? path : `/${path}` }
}
