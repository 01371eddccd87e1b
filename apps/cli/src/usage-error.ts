/** The command line cannot be understood as it stands: exit code 2. The message says what to write instead. */
export class UsageError extends Error {
  /** Whose help to point to. */
  readonly command: string | undefined

  constructor(message: string, command?: string) {
    super(message)
    this.name = 'UsageError'
    this.command = command
  }
}
