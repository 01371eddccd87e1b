/** Requests to the daemon, and its answers as values or as the errors they tell of. */
import { connect } from 'node:net'
import type { Readable } from 'node:stream'
import { AppError, errorCodes } from '@coderunner/contract'
import {
  FileNotFoundError,
  LayerInUseError,
  LayerNotFoundError,
  NotSupportedError,
  SandboxFailedError,
  SandboxNotFoundError,
  StaleEpochError,
} from '@coderunner/runtime'
import { type Dispatcher, Pool } from 'undici'
import { LINE_BYTES, type WireProblem } from './host-wire.ts'
import { decodeLines } from './json-lines.ts'

type Method = 'GET' | 'POST' | 'DELETE'

export class DaemonLink implements AsyncDisposable {
  /** Takes as many requests at once as there are: every stream holds a connection. */
  readonly dispatcher: Dispatcher

  constructor(socketPath: string) {
    this.dispatcher = new Pool('http://host', {
      connect: (_, answer) => {
        const socket = connect({ path: socketPath })
        const failed = (error: Error): void => answer(unavailable(error), null)
        socket.once('error', failed)
        socket.once('connect', () => {
          socket.off('error', failed)
          answer(null, socket)
        })
      },
    })
  }

  async json<T>(method: Method, path: string, body?: unknown): Promise<T> {
    const answer = await this.#request(method, path, body)
    const text = await answer.body.text().catch(away)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  /** Undefined when there is no such thing. */
  async find<T>(path: string): Promise<T | undefined> {
    try {
      return await this.json<T>('GET', path)
    } catch (error) {
      if (error instanceof AppError && error.code === 'not_found') return undefined
      throw error
    }
  }

  /** Resolves with the stream when the daemon has begun it. */
  async open(path: string, signal: AbortSignal): Promise<Readable> {
    return (await this.#request('GET', path, undefined, signal)).body
  }

  /** Ends with the signal. A stream that is `endless` ends in no other good way. */
  async *values<T>(
    open: () => Promise<Readable>,
    signal: AbortSignal,
    { endless }: { endless: boolean },
  ): AsyncGenerator<T> {
    try {
      for await (const value of decodeLines(await open(), LINE_BYTES)) yield value as T
    } catch (error) {
      if (signal.aborted) return
      throw error instanceof AppError ? error : unavailable(error)
    }
    if (endless && !signal.aborted) throw unavailable()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispatcher.destroy()
  }

  async #request(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    const answer = await this.dispatcher
      .request({
        origin: 'http://host',
        method,
        path,
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
        // An order takes as long as it takes.
        headersTimeout: 0,
        bodyTimeout: 0,
        ...(signal && { signal }),
      })
      .catch(away)
    if (answer.statusCode < 300) return answer
    throw errorOf((await answer.body.json().catch(away)) as WireProblem)
  }
}

const unavailable = (cause?: unknown): AppError =>
  new AppError('unavailable', 'The host daemon does not answer.', { cause })

function away(cause: unknown): never {
  throw cause instanceof AppError ? cause : unavailable(cause)
}

/** Made with the class they were thrown as, and the message they had. */
const classes: Record<string, (message: string) => AppError> = {
  FileNotFoundError: () => new FileNotFoundError(''),
  LayerInUseError: () => new LayerInUseError(''),
  LayerNotFoundError: () => new LayerNotFoundError(''),
  NotSupportedError: () => new NotSupportedError('', ''),
  SandboxFailedError: message => new SandboxFailedError(message),
  SandboxNotFoundError: () => new SandboxNotFoundError(''),
  StaleEpochError: () => new StaleEpochError('', 0, 0),
}

function errorOf({ name, code, detail, errors }: WireProblem): AppError {
  const known = Object.hasOwn(errorCodes, code) ? code : 'internal'
  const error = classes[name]?.(detail) ?? new AppError(known, detail, errors && { details: errors })
  error.message = detail
  return error
}
