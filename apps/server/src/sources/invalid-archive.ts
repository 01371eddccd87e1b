import { AppError } from '@coderunner/contract'

/** The message says what was found in the archive. */
export class InvalidArchiveError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super('invalid_archive', message, options)
  }
}
