import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { pipeline } from 'node:stream'
import type { RouteCounters } from '@coderunner/contract'
import type { ErrorAnswer } from './error-answer.ts'
import { endToEndHeaders, setsSessionCookie } from './forwarded-headers.ts'
import type { Attempts } from './proxy-request.ts'
import type { Exchange, Upstream } from './upstream.ts'
import { WebSocketTunnel } from './websocket-tunnel.ts'

export interface Upgrading {
  request: IncomingMessage
  /** What the client sent after its request. */
  head: Buffer
  /** For answers other than the upgrade. */
  response: ServerResponse
  headers: string[]
  upstream: Upstream
  counters: RouteCounters
  attempts: Attempts
  answerTimeoutMs: number
  /** It is a WebSocket now and no request any more. */
  upgraded(): void
  retry(): void
  fail(error: ErrorAnswer): void
}

/** Passes a WebSocket handshake on, and joins the two sockets when the application agrees. */
export function proxyUpgrade(upgrading: Upgrading): void {
  const { request, head, response, upstream, counters, attempts } = upgrading
  const client = request.socket
  const outgoing = httpRequest({
    // A half-closed WebSocket stays open the other way.
    createConnection: () => connect({ host: upstream.host, port: upstream.port, allowHalfOpen: true, noDelay: true }),
    method: 'GET',
    path: request.url,
    headers: [...upgrading.headers, 'Connection', 'Upgrade', 'Upgrade', 'websocket'],
    setDefaultHeaders: false,
    timeout: upgrading.answerTimeoutMs,
  })
  const exchange: Exchange = { kind: 'request', cut: () => void outgoing.destroy() }
  const clientLeft = () => void outgoing.destroy()
  const finish = () => {
    upstream.end(exchange)
    client.off('close', clientLeft)
  }
  upstream.begin(exchange)
  client.once('close', clientLeft)

  outgoing.on('upgrade', (answer: IncomingMessage, socket: Socket, upstreamHead: Buffer) => {
    response.detachSocket(client)
    const tunnel = new WebSocketTunnel({
      client,
      upstream: socket,
      counters,
      onClose: () => {
        upstream.end(tunnel)
        counters.activeWebSockets--
      },
    })
    counters.activeWebSockets++
    upgrading.upgraded()
    upstream.begin(tunnel)
    finish()
    upstream.answered()
    client.write(switchingProtocols(answer), 'latin1')
    // Pushed back so that these bytes go through the tunnel like all others.
    if (upstreamHead.length > 0) socket.unshift(upstreamHead)
    if (head.length > 0) client.unshift(head)
  })
  outgoing.on('response', answer => {
    answer.once('close', finish)
    response.writeHead(answer.statusCode ?? 502, endToEndHeaders(answer.rawHeaders))
    pipeline(answer, response, () => {})
  })
  outgoing.on('timeout', () => outgoing.destroy())
  outgoing.on('error', (error: NodeJS.ErrnoException) => {
    finish()
    if (client.destroyed || response.headersSent) {
      client.destroy()
      return
    }
    if (error.syscall === 'connect') {
      upstream.refused()
      attempts.refusedBy.push(upstream)
      upgrading.retry()
    } else
      upgrading.fail({
        status: 502,
        code: 'never_answered',
        title: 'The application broke off',
        detail: 'It closed the connection instead of answering the WebSocket handshake. Its logs say why.',
      })
  })
  outgoing.end()
}

function switchingProtocols(answer: IncomingMessage): string {
  const lines = ['HTTP/1.1 101 Switching Protocols']
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    const [name, value] = [answer.rawHeaders[i] as string, answer.rawHeaders[i + 1] as string]
    if (!setsSessionCookie(name, value)) lines.push(`${name}: ${value}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}
