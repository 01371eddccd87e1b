import { ApiError } from '@coderunner/client'
import { AppError } from '@coderunner/contract/errors'
import { readConfig, type Settings } from './config.ts'
import { Failure, Interrupted } from './failure.ts'
import { safeLines, safeText } from './terminal/safe-text.ts'
import { UsageError } from './usage-error.ts'

/** Tells an error: for people on stderr, for programs as a document on stdout. */
export function reportError(error: unknown, json: boolean): number {
  if (error instanceof Interrupted) return error.exitCode
  const { code, message, hint, exitCode, extra } = describe(error)
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message, ...extra } })}\n`)
  const colour = process.stderr.isTTY && wantsColour()
  process.stderr.write(`${colour ? '\u001b[31mError:\u001b[39m' : 'Error:'} ${message}\n`)
  if (hint !== undefined) process.stderr.write(`${hint}\n`)
  return exitCode
}

function wantsColour(): boolean {
  return settingsIfGood()?.noColour === false
}

function hasTokenVariable(): boolean {
  return settingsIfGood()?.token !== undefined
}

function settingsIfGood(): Settings | undefined {
  try {
    return readConfig()
  } catch {
    return undefined // The settings themselves are what is wrong.
  }
}

interface Description {
  code: string
  message: string
  hint?: string | undefined
  exitCode: number
  extra?: object
}

function describe(error: unknown): Description {
  if (error instanceof UsageError) {
    const hint = error.command === undefined ? undefined : `\`coderunner help ${error.command}\` tells more.`
    return { code: 'usage', message: error.message, hint, exitCode: 2 }
  }
  if (error instanceof Failure) return error
  if (error instanceof ApiError) {
    const fields = error.errors.map(({ path, message }) => `  ${safeText(path)}: ${safeText(message)}`).join('\n')
    const extra = { requestId: error.requestId, ...(error.errors.length > 0 && { errors: error.errors }) }
    const message = safeLines(error.detail) + (fields === '' ? '' : `\n${fields}`)
    return { code: error.code, message, hint: hintFor(error), exitCode: 1, extra }
  }
  if (error instanceof AppError) return { code: error.code, message: error.message, exitCode: 1 }
  // Not expected: with where it came from, so that it can be reported.
  return {
    code: 'internal',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    exitCode: 1,
  }
}

function hintFor(error: ApiError): string | undefined {
  if (error.status === 401 && error.code === 'unauthenticated')
    return hasTokenVariable()
      ? 'CODERUNNER_TOKEN is set, but not valid at this server (any more).'
      : 'Run `coderunner login`, or set CODERUNNER_TOKEN.'
  if (error.status >= 500 && error.requestId !== undefined) return `Request id: ${safeText(error.requestId)}`
  return undefined
}
