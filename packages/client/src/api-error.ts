import { AppError, type FieldProblem, type Problem } from '@coderunner/contract/errors'

/** The server answered with an error. `message` is the server's own explanation, meant for the user. */
export class ApiError extends Error {
  /** One of the contract's error codes, or one that this version of the client does not know yet. */
  readonly code: string
  readonly status: number
  /** Finds the request in the server's log. */
  readonly requestId: string | undefined
  readonly errors: readonly FieldProblem[]
  /** How long the server asks to wait before the next attempt. */
  readonly retryAfterMs: number | undefined

  constructor(problem: {
    code: string
    status: number
    detail: string
    requestId?: string | undefined
    errors?: readonly FieldProblem[] | undefined
    retryAfterMs?: number | undefined
  }) {
    super(problem.detail)
    this.name = 'ApiError'
    this.code = problem.code
    this.status = problem.status
    this.requestId = problem.requestId
    this.errors = problem.errors ?? []
    this.retryAfterMs = problem.retryAfterMs
  }

  get detail(): string {
    return this.message
  }
}

/** No answer came: nothing listens there, or the connection broke and could not be made again. */
export class ServerUnreachableError extends AppError {
  readonly url: string

  constructor(url: string, cause: unknown) {
    const reason = networkReason(cause)
    super(
      'unavailable',
      `CodeRunner does not answer at ${url}${reason === '' ? '' : ` (${reason})`}. Is it running? \`npm start\` starts it; CODERUNNER_URL says where it is.`,
      { cause },
    )
    this.url = url
  }
}

const bodyLimit = 64 * 1024

/** Reads an error answer. Bodies that are not problem+json (a proxy's page, say) give an error with the status alone. */
export async function readApiError(response: Response, url: string): Promise<ApiError> {
  const text = (await response.text().catch(() => '')).slice(0, bodyLimit)
  const common = { status: response.status, retryAfterMs: retryAfterMs(response.headers.get('retry-after')) }
  const requestId = response.headers.get('x-request-id') ?? undefined
  const problem = parseProblem(text)
  if (problem === undefined)
    return new ApiError({
      ...common,
      code: response.status >= 500 ? 'internal' : 'invalid_request',
      detail: `${url} answered ${response.status}${response.statusText === '' ? '' : ` ${response.statusText}`}, and not as CodeRunner does.`,
      requestId,
    })
  return new ApiError({
    ...common,
    code: problem.code,
    detail: problem.detail ?? problem.title ?? `The server answered ${response.status}.`,
    requestId: problem.requestId ?? requestId,
    errors: problem.errors,
  })
}

function parseProblem(text: string): (Partial<Omit<Problem, 'code'>> & { code: string }) | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('code' in value) || typeof value.code !== 'string')
      return undefined
    return value as Partial<Omit<Problem, 'code'>> & { code: string }
  } catch {
    return undefined // Not JSON: the caller tells so.
  }
}

function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined
  const seconds = Number(header)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined
}

/** The system's code of a failed fetch (such as ECONNREFUSED), which lies somewhere down the chain of causes. */
export function networkReason(error: unknown): string {
  let current: unknown = error
  for (let depth = 0; depth < 5 && current instanceof Error; depth++) {
    if ('code' in current && typeof current.code === 'string') return current.code
    if (current instanceof AggregateError && current.errors.length > 0) current = current.errors[0]
    else current = current.cause
  }
  return ''
}
