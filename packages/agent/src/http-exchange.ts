import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { AgentError, agentErrorOf } from './agent-error.ts'
import { type AgentProblem, jsonBodyBytes } from './agent-wire.ts'
import { createServer } from './http-module.ts'

export interface Exchange {
  method: string
  /** Parts of the path between slashes. */
  path: readonly string[]
  query: URLSearchParams
  request: IncomingMessage
  response: ServerResponse
}

/** A server whose handler's errors become answers, or break the connection once the answer has begun. */
export function createExchangeServer(handle: (exchange: Exchange) => Promise<void>): Server {
  // Uploads and process streams last as long as they last.
  return createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
    // A reader that goes away is told to those who write by 'close'.
    response.on('error', () => undefined)
    const url = new URL(request.url ?? '/', 'http://agent')
    const path = url.pathname.split('/').filter(part => part !== '')
    handle({ method: request.method ?? '', path, query: url.searchParams, request, response }).catch(error =>
      refuse(request, response, error),
    )
  })
}

function refuse(request: IncomingMessage, response: ServerResponse, cause: unknown): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { status, code, message } = agentErrorOf(cause)
  const problem: AgentProblem = {
    type: 'about:blank',
    title: code,
    status,
    code,
    detail: message.slice(0, 2000),
    requestId: '',
  }
  // The rest of an upload is taken and dropped: a sender cut off while sending would not see the answer.
  request.resume()
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
}

export function answerNothing(response: ServerResponse): void {
  response.writeHead(204).end()
}

export function answerJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

export async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > jsonBodyBytes) throw new AgentError('too_large', `The request is longer than ${jsonBodyBytes} bytes.`)
    chunks.push(chunk)
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString())
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (cause) {
    throw new AgentError('invalid_request', 'The request is no JSON.', { cause })
  }
  throw new AgentError('invalid_request', 'The request is no JSON object.')
}
