/** What a command was asked to do has failed, and why; `exitCode` tells a deadline (126) from the rest (1). */
export class Failure extends Error {
  readonly code: string
  readonly exitCode: number
  readonly hint: string | undefined

  constructor(code: string, message: string, options: { exitCode?: number; hint?: string } = {}) {
    super(message)
    this.name = 'Failure'
    this.code = code
    this.exitCode = options.exitCode ?? 1
    this.hint = options.hint
  }
}

/** The user (SIGINT) or the system (SIGTERM, SIGHUP) ended the command. */
export class Interrupted extends Error {
  readonly exitCode: number

  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(`interrupted by ${signal}`)
    this.name = 'Interrupted'
    this.exitCode = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }[signal]
  }
}
