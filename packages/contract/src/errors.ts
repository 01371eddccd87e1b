/** Error codes on the wire and the HTTP status each is answered with. */
export const errorCodes = {
  invalid_request: 400,
  invalid_archive: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  email_taken: 409,
  name_taken: 409,
  action_not_allowed: 409,
  stale_epoch: 409,
  idempotency_mismatch: 409,
  too_large: 413,
  unsupported_media_type: 415,
  nothing_to_run: 422,
  build_failed: 422,
  not_supported: 422,
  missing_files: 422,
  fetch_failed: 422,
  rate_limited: 429,
  cancelled: 409,
  superseded: 409,
  start_failed: 502,
  never_answered: 502,
  sandbox_failed: 502,
  unavailable: 503,
  out_of_disk: 507,
  internal: 500,
} as const satisfies Record<string, number>
export type ErrorCode = keyof typeof errorCodes

export interface FieldProblem {
  /** JSON pointer into the request, such as `/options/port`. */
  path: string
  message: string
}

/**
 * An expected failure. `message` is shown to the user: it says what was found and what to do next, and never holds a
 * secret. Caught in three places only: the HTTP handler, the CLI's main, the reconciler.
 */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly details: readonly FieldProblem[]

  constructor(code: ErrorCode, message: string, options: ErrorOptions & { details?: readonly FieldProblem[] } = {}) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.status = errorCodes[code]
    this.details = options.details ?? []
  }
}

/** The body of every error answer, `application/problem+json` (RFC 9457) with a code and the request's id. */
export interface Problem {
  type: string
  title: string
  status: number
  code: ErrorCode
  detail: string
  requestId: string
  errors?: readonly FieldProblem[]
}
