import { ApiError, ServerUnreachableError } from './api-error.ts'
import { readJsonLines } from './ndjson.ts'
import type { RunEvent } from './shapes.ts'
import type { Transport } from './transport.ts'

export type CommandEvent = { stream: 'stdout' | 'stderr'; data: Uint8Array } | { exitCode: number }

/**
 * What a one-off command writes, and last its exit code. Throws when the server reports a failure, and when the stream
 * ends without an exit code: nobody knows then how the command ended.
 */
export async function* commandEvents(
  response: Response,
  transport: Transport,
  signal: AbortSignal | undefined,
): AsyncGenerator<CommandEvent> {
  let ended = false
  try {
    for await (const event of readJsonLines<RunEvent>(response.body ?? new ReadableStream())) {
      if ('error' in event) throw new ApiError({ status: 502, code: event.error.code, detail: event.error.message })
      if ('exitCode' in event) {
        ended = true
        yield { exitCode: event.exitCode }
        return
      }
      yield { stream: event.stream, data: fromBase64(event.data) }
    }
  } catch (error) {
    transport.throwIfAborted(signal)
    if (error instanceof ApiError) throw error
    throw new ServerUnreachableError(transport.baseUrl, error)
  }
  if (!ended)
    throw new ApiError({
      status: 502,
      code: 'sandbox_failed',
      detail: 'The connection ended before the command did; how it ended is not known.',
    })
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), character => character.charCodeAt(0))
}
