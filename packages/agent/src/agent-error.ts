import type { ErrorCode } from '@coderunner/contract'

const statuses = {
  invalid_request: 400,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  not_supported: 422,
  internal: 500,
  out_of_disk: 507,
} as const satisfies Partial<Record<ErrorCode, number>>

/** A refusal, in words for the one who asked. The agent cannot import the contract's AppError: it runs without packages. */
export class AgentError extends Error {
  readonly code: keyof typeof statuses
  readonly status: number

  constructor(code: keyof typeof statuses, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'AgentError'
    this.code = code
    this.status = statuses[code]
  }
}

const systemCodes: Readonly<Record<string, keyof typeof statuses>> = {
  ENOENT: 'not_found',
  ESRCH: 'not_found',
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  EROFS: 'forbidden',
  EISDIR: 'invalid_request',
  ENOTDIR: 'invalid_request',
  EINVAL: 'invalid_request',
  ELOOP: 'invalid_request',
  ENAMETOOLONG: 'invalid_request',
  E2BIG: 'too_large',
  EXDEV: 'invalid_request',
  EEXIST: 'conflict',
  ENOTEMPTY: 'conflict',
  ETXTBSY: 'conflict',
  EAGAIN: 'conflict',
  EMFILE: 'conflict',
  ENOSPC: 'out_of_disk',
  EDQUOT: 'out_of_disk',
}

export function agentErrorOf(error: unknown): AgentError {
  if (error instanceof AgentError) return error
  const code = error instanceof Error && 'code' in error ? systemCodes[String(error.code)] : undefined
  const message = error instanceof Error ? error.message : String(error)
  return new AgentError(code ?? 'internal', message, { cause: error })
}
