import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'

export interface ErrorAnswer {
  status: number
  code: string
  /** One sentence for everybody. */
  title: string
  /** What was found and what the owner can do. Plain text. */
  detail: string
  retryAfterS?: number
}

/** Answers with a small page for browsers and with problem JSON for everybody else. */
export function answerError(
  request: IncomingMessage,
  response: ServerResponse,
  error: ErrorAnswer,
  requestId: string,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const { type, body } = renderError(error, requestId, request.headers.accept)
  response.writeHead(error.status, errorHeaders(error, requestId, type, body))
  response.end(request.method === 'HEAD' ? undefined : body)
}

/** The same answer as bytes, for a socket that has no response object any more or not yet. */
export function rawError(error: ErrorAnswer, requestId: string, accept: string | undefined): string {
  const { type, body } = renderError(error, requestId, accept)
  const headers = Object.entries({ ...errorHeaders(error, requestId, type, body), connection: 'close' })
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\n${lines}\r\n${body}`
}

export const hasBody = (request: IncomingMessage) =>
  request.headers['transfer-encoding'] !== undefined || (request.headers['content-length'] ?? '0') !== '0'

function errorHeaders(error: ErrorAnswer, requestId: string, type: string, body: string): Record<string, string> {
  return {
    'content-type': type,
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'x-request-id': requestId,
    ...(error.retryAfterS === undefined ? {} : { 'retry-after': String(error.retryAfterS) }),
  }
}

function renderError(error: ErrorAnswer, requestId: string, accept: string | undefined) {
  if (accept?.includes('text/html')) return { type: 'text/html; charset=utf-8', body: page(error, requestId) }
  const { status, code, title, detail } = error
  const problem = { type: 'about:blank', title, status, code, detail, requestId }
  return { type: 'application/problem+json', body: `${JSON.stringify(problem)}\n` }
}

function page({ status, title, detail }: ErrorAnswer, requestId: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>
:root { color-scheme: light dark }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.6 system-ui, sans-serif; background: Canvas; color: CanvasText }
main { max-width: 34rem; padding: 2rem }
h1 { font-size: 1.4rem; line-height: 1.3; font-weight: 600; margin: 0 0 .75rem }
p { margin: 0 0 1rem; overflow-wrap: anywhere }
small { opacity: .65 }
</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(detail)}</p>
<small>${status} · request ${escapeHtml(requestId)}</small>
</main>
</body>
</html>
`
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escapeHtml = (text: string) => text.replace(/[&<>"']/g, letter => entities[letter] ?? '')
