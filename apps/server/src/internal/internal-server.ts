import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { AppError } from '@coderunner/contract'
import type { FastifyBaseLogger } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { problemOf } from '../http/problem.ts'

const bodyLimit = 16 * 1024

export const Wake = Type.Object({ deploymentId: Type.String({ pattern: '^[a-z0-9]{20}$' }) })

export interface InternalServerOptions {
  socketPath: string
  logger: FastifyBaseLogger
  /** A request has come for a deployment that sleeps. */
  wake: (deploymentId: string) => Promise<void>
}

/**
 * What the ingress asks of the server, over a unix socket. Who may connect is decided by the rights of the socket's
 * folder: those who can are this server's own user and the ingress's.
 */
export class InternalServer implements AsyncDisposable {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(options: InternalServerOptions): Promise<InternalServer> {
    const server = createServer((request, response) => {
      answer(options, request, response).catch((error: unknown) =>
        options.logger.error({ err: error }, 'internal request'),
      )
    })
    // Left by a server that was killed: nobody else may listen here.
    await rm(options.socketPath, { force: true })
    server.listen(options.socketPath)
    await once(server, 'listening')
    await chmod(options.socketPath, 0o660)
    return new InternalServer(server)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}

async function answer(
  options: InternalServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    if (request.method !== 'POST' || request.url !== '/wake')
      throw new AppError('not_found', `There is no ${request.method} ${request.url}.`)
    const { deploymentId } = await readBody(request, Wake)
    await options.wake(deploymentId)
    response.writeHead(202).end()
  } catch (error) {
    const problem = problemOf(error, crypto.randomUUID())
    if (problem.status >= 500) options.logger.error({ err: error, requestId: problem.requestId }, 'internal request')
    response.writeHead(problem.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
  }
}

async function readBody<Schema extends TSchema>(request: IncomingMessage, schema: Schema): Promise<Static<Schema>> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > bodyLimit) throw new AppError('too_large', `The request has more than ${bodyLimit} bytes.`)
    chunks.push(chunk)
  }
  let body: unknown
  try {
    body = JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    throw new AppError('invalid_request', 'The request is not JSON.')
  }
  if (!Value.Check(schema, body)) throw new AppError('invalid_request', 'The request does not have the agreed shape.')
  return body
}
