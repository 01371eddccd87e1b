import { AppError } from '@coderunner/contract'

export class NotSupportedError extends AppError {
  constructor(what: string, provider: string) {
    super('not_supported', `${what} is not supported by the ${provider} provider.`)
  }
}

export class SandboxNotFoundError extends AppError {
  constructor(id: string) {
    super('not_found', `There is no sandbox ${id}.`)
  }
}

export class StaleEpochError extends AppError {
  constructor(key: string, epoch: number, current: number) {
    super(
      'stale_epoch',
      `Order with epoch ${epoch} of ${key} came after epoch ${current}: another server has taken over.`,
    )
  }
}

export class FileNotFoundError extends AppError {
  constructor(path: string) {
    super('not_found', `There is no file ${path} in the sandbox.`)
  }
}

export class LayerInUseError extends AppError {
  constructor(layerId: string) {
    super('conflict', `Layer ${layerId} is in use by a sandbox.`)
  }
}

export class LayerNotFoundError extends AppError {
  constructor(layerId: string) {
    super('not_found', `There is no layer ${layerId}.`)
  }
}

/** The sandbox could not be made or has failed; the message is the runtime's own, cut short. */
export class SandboxFailedError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super('sandbox_failed', message, options)
  }
}
