import { STATUS_CODES } from 'node:http'
import { AppError, type ErrorCode, type FieldProblem, type Problem } from '@coderunner/contract'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

/** Errors that Fastify raises itself, by status, in the contract's words. */
const codeOfStatus: Partial<Record<number, ErrorCode>> = {
  400: 'invalid_request',
  404: 'not_found',
  413: 'too_large',
  415: 'unsupported_media_type',
  503: 'unavailable',
}

const internal = 'Something went wrong on the server. Try again, and give the request id to whoever runs it.'

/** Turns whatever a route threw into a problem; what is behind a 5xx stays in the log. */
export function problemOf(error: unknown, requestId: string): Problem {
  const found = describe(error)
  return {
    type: `https://coderunner.dev/problems/${found.code}`,
    title: STATUS_CODES[found.status] ?? 'Error',
    status: found.status,
    code: found.code,
    detail: found.detail,
    requestId,
    ...(found.errors.length > 0 && { errors: found.errors }),
  }
}

function describe(error: unknown): {
  status: number
  code: ErrorCode
  detail: string
  errors: readonly FieldProblem[]
} {
  if (error instanceof AppError)
    return { status: error.status, code: error.code, detail: error.message, errors: error.details }
  const { validation, statusCode, message } = error as Partial<FastifyError>
  if (validation !== undefined) {
    const part = (error as FastifyError).validationContext ?? 'body'
    const errors = validation.map(problem => ({
      path: part === 'body' ? problem.instancePath : `/${part}${problem.instancePath}`,
      message: problem.message ?? 'is not valid',
    }))
    const list = errors.map(({ path, message }) => `${path === '' ? 'the body' : path} ${message}`).join('; ')
    return { status: 400, code: 'invalid_request', detail: `The request is not valid: ${list}.`, errors }
  }
  const code = codeOfStatus[statusCode ?? 500]
  if (code !== undefined) return { status: statusCode ?? 500, code, detail: message ?? code, errors: [] }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return { status: statusCode, code: 'invalid_request', detail: message ?? 'The request is not valid.', errors: [] }
  return { status: 500, code: 'internal', detail: internal, errors: [] }
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = problemOf(error, request.id)
  if (problem.status >= 500) request.log.error({ err: error }, 'request failed')
  if (error instanceof RetryLaterError) reply.header('retry-after', String(error.retryAfterS))
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
  // Serialised here: a response schema of the route would drop fields it does not declare.
  return reply
    .code(problem.status)
    .type('application/problem+json')
    .serializer((payload: string) => payload)
    .send(JSON.stringify(problem))
}

/** A refusal that goes away by itself: answered with `Retry-After`. */
export class RetryLaterError extends AppError {
  readonly retryAfterS: number

  constructor(code: 'rate_limited' | 'conflict' | 'unavailable', message: string, retryAfterS: number) {
    super(code, message)
    this.retryAfterS = retryAfterS
  }
}

export class RateLimitedError extends RetryLaterError {
  constructor(retryAfterS: number) {
    super('rate_limited', `Too many requests. Try again in ${retryAfterS} s.`, retryAfterS)
  }
}

export class UnauthenticatedError extends AppError {
  constructor(message = 'Log in first: this needs a log-in or an API token that is valid.') {
    super('unauthenticated', message)
  }
}

export class ForbiddenError extends AppError {
  constructor(message: string) {
    super('forbidden', message)
  }
}
