import { createReadStream } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { RouteCounters } from '@coderunner/contract'
import type { ErrorAnswer } from '../error-answer.ts'
import { type ByteRange, byteRange } from './byte-range.ts'
import { isCompressible } from './content-types.ts'
import type { HeaderRules } from './site-rules.ts'
import type { SiteStore } from './site-store.ts'
import { lookUp, type SiteAnswer, type SiteEntry } from './site-table.ts'

type Encoding = 'br' | 'gzip'

interface Sending {
  request: IncomingMessage
  response: ServerResponse
  answer: SiteAnswer & { kind: 'file' }
  headers: HeaderRules
  counters: RouteCounters
}

/** Answers requests to static sites. */
export class SiteServer {
  readonly #store: SiteStore

  constructor(store: SiteStore) {
    this.#store = store
  }

  /** Serves it, or returns the error to answer with. */
  async serve(
    siteId: string,
    request: IncomingMessage,
    response: ServerResponse,
    counters: RouteCounters,
  ): Promise<ErrorAnswer | undefined> {
    const table = await this.#store.table(siteId)
    if (table === undefined) return notPublished
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      return {
        status: 405,
        code: 'invalid_request',
        title: 'Not allowed here',
        detail: 'This is a static site: it answers GET and HEAD only.',
      }
    }
    const answer = lookUp(table, request.url ?? '/')
    if (answer.kind === 'invalid') return brokenAddress
    if (answer.kind === 'absent') return noSuchPage
    if (answer.kind === 'redirect')
      response
        .writeHead(answer.status, { location: answer.location, 'content-length': 0, 'cache-control': 'no-cache' })
        .end()
    else await this.#send({ request, response, answer, headers: table.headers, counters })
    return undefined
  }

  async #send({ request, response, answer, headers: rules, counters }: Sending): Promise<void> {
    const { entry, status } = answer
    const { headers } = request
    const whole = status === 404 || headers.range === undefined
    const encoding = whole ? chooseEncoding(headers['accept-encoding'], entry) : undefined
    const size = encoding === undefined ? entry.size : (entry[encoding] ?? 0)
    const etag = `"${entry.hash.slice(0, 32)}${encoding === undefined ? '' : `-${encoding}`}"`
    const common: Record<string, string | number | string[]> = {
      'content-type': entry.type,
      'cache-control': status === 404 ? 'no-cache' : entry.cacheControl,
      etag,
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
    }
    if (isCompressible(entry.type)) common['vary'] = 'Accept-Encoding'
    if (encoding !== undefined) common['content-encoding'] = encoding
    rules.apply(answer.path, common)
    if (status === 200 && matches(headers['if-none-match'], etag)) {
      response.writeHead(304, common).end()
      return
    }
    // A range of something else than the client has would be a mixture: it gets the whole file.
    const sameAsBefore = headers['if-range'] === undefined || headers['if-range'] === etag
    const range = whole || !sameAsBefore ? undefined : byteRange(headers.range, size)
    if (range === 'unsatisfiable') {
      response.writeHead(416, { ...common, 'content-range': `bytes */${size}`, 'content-length': 0 }).end()
      return
    }
    if (range === undefined) response.writeHead(status, { ...common, 'content-length': size })
    else {
      const length = range.end - range.start + 1
      response.writeHead(206, {
        ...common,
        'content-range': `bytes ${range.start}-${range.end}/${size}`,
        'content-length': length,
      })
    }
    if (request.method === 'HEAD') response.end()
    else await this.#body(response, entry.hash, encoding, size, range, counters)
  }

  async #body(
    response: ServerResponse,
    hash: string,
    encoding: Encoding | undefined,
    size: number,
    range: ByteRange | undefined,
    counters: RouteCounters,
  ): Promise<void> {
    const small = await this.#store.small(hash, encoding, size)
    if (small !== undefined) {
      const part = range === undefined ? small : small.subarray(range.start, range.end + 1)
      counters.bytesOut += part.length
      response.end(part)
      return
    }
    const stream = createReadStream(this.#store.blobFile(hash, encoding), range ?? {})
    stream.on('data', chunk => (counters.bytesOut += chunk.length))
    // A client that leaves, or a file that cannot be read: the connection is cut either way, visible to the client.
    await pipeline(stream, response).catch(() => response.destroy())
  }
}

const brokenAddress: ErrorAnswer = {
  status: 400,
  code: 'invalid_request',
  title: 'This address cannot be understood',
  detail: 'It has a broken % escape.',
}
const noSuchPage: ErrorAnswer = {
  status: 404,
  code: 'not_found',
  title: 'There is no such page',
  detail: 'This site has no page at this address.',
}
const notPublished: ErrorAnswer = {
  status: 503,
  code: 'unavailable',
  title: 'This site is not here yet',
  detail: 'Its files are not stored on this server. Deploying the project again brings them back.',
  retryAfterS: 30,
}

function chooseEncoding(accepted: string | string[] | undefined, entry: SiteEntry): Encoding | undefined {
  const text = String(accepted ?? '')
  if (entry.br !== undefined && accepts(text, 'br')) return 'br'
  return entry.gzip !== undefined && accepts(text, 'gzip') ? 'gzip' : undefined
}

function accepts(header: string, encoding: string): boolean {
  return header.split(',').some(part => {
    const [name = '', ...parameters] = part.trim().split(';')
    return name.trim().toLowerCase() === encoding && !parameters.some(parameter => /^\s*q=0(\.0*)?\s*$/.test(parameter))
  })
}

function matches(header: string | undefined, etag: string): boolean {
  return (
    header !== undefined &&
    (header.trim() === '*' || header.split(',').some(tag => tag.trim().replace(/^W\//, '') === etag))
  )
}
