import type { Readable } from 'node:stream'
import { AppError, type ErrorCode, errorCodes } from '@coderunner/contract'
import { SandboxFailedError } from '@coderunner/runtime'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Dispatcher } from 'undici'

const problem = Type.Object({ code: Type.String(), detail: Type.String() })

export interface AgentRequest {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below the prefix, without a leading slash. */
  path: string
  query?: Readonly<Record<string, string>>
  json?: unknown
  body?: Readable | Buffer
  signal?: AbortSignal
}

/** Requests to one sandbox's agent. What comes back was written inside the sandbox: nothing of it is believed unchecked. */
export class AgentLink {
  #dispatcher: Dispatcher
  #prefix: string

  constructor(options: { dispatcher: Dispatcher; prefix: string }) {
    this.#dispatcher = options.dispatcher
    this.#prefix = options.prefix
  }

  /** The body of a good answer; anything else is thrown as the error it tells of. */
  async stream(request: AgentRequest): Promise<Readable> {
    const { method, path, query = {}, json, body, signal } = request
    const search = new URLSearchParams(query).toString()
    const answer = await this.#dispatcher
      .request({
        origin: 'http://agent',
        method,
        path: `${this.#prefix}/${path}${search === '' ? '' : `?${search}`}`,
        headers: json === undefined ? {} : { 'content-type': 'application/json' },
        body: json === undefined ? (body ?? null) : JSON.stringify(json),
        // Programs run, and uploads take, as long as they take; who asks sets limits by signals and deadlines.
        headersTimeout: 0,
        bodyTimeout: 0,
        ...(signal !== undefined && { signal }),
      })
      .catch((cause: unknown) => {
        signal?.throwIfAborted()
        throw cause instanceof AppError ? cause : unreachable(cause)
      })
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer.body
    throw refusal(answer.statusCode, await readBounded(answer.body, 64 * 1024))
  }

  async json(request: AgentRequest, mostBytes: number): Promise<unknown> {
    const text = await readBounded(await this.stream(request), mostBytes)
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw untrusted('no JSON', cause)
    }
  }

  async done(request: AgentRequest): Promise<void> {
    await readBounded(await this.stream(request), 1024)
  }
}

/** Lines of a stream, the last one also without its end. */
export async function* readLines(stream: Readable, longest: number): AsyncGenerator<string> {
  const pending: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      pending.push(chunk.subarray(from, at))
      yield Buffer.concat(pending.splice(0)).toString()
      bytes = 0
      from = at + 1
    }
    if (from === chunk.length) continue
    pending.push(chunk.subarray(from))
    bytes += chunk.length - from
    if (bytes > longest) {
      stream.destroy()
      throw untrusted('too long a line')
    }
  }
  if (bytes > 0) yield Buffer.concat(pending).toString()
}

export function untrusted(what: string, cause?: unknown): SandboxFailedError {
  return new SandboxFailedError(`The agent in the sandbox gave an answer that makes no sense: ${what}.`, { cause })
}

export function unreachable(cause: unknown): SandboxFailedError {
  return new SandboxFailedError('The agent in the sandbox does not answer.', { cause })
}

async function readBounded(stream: Readable, mostBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > mostBytes) break
      chunks.push(chunk)
    }
  } catch (cause) {
    throw unreachable(cause)
  }
  if (bytes > mostBytes) throw untrusted('too long a body')
  return Buffer.concat(chunks).toString()
}

function refusal(status: number, text: string): AppError {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    // No problem in JSON: the status is all there is.
  }
  if (!Value.Check(problem, body)) return untrusted(`status ${status}`)
  const code: ErrorCode = Object.hasOwn(errorCodes, body.code) ? (body.code as ErrorCode) : 'sandbox_failed'
  return new AppError(code, body.detail.slice(0, 1000))
}
