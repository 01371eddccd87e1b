/** The forms a deploy comes in, brought to one: options, a tree of files, their contents staged. */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { AppError, api } from '@coderunner/contract'
import type { Multipart } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { Value } from 'typebox/value'
import { archiveLimits } from '../sources/archive-limits.ts'
import { readArchive } from '../sources/archive-reader.ts'
import { type KnownSizes, readFiles } from '../sources/files-reader.ts'
import { normalPath, type SourceTree } from '../sources/source-tree.ts'
import type { StagedUpload } from '../sources/staged-upload.ts'
import { withoutWrappingFolder } from '../sources/wrapping-folder.ts'

export interface DeployRequest {
  options: api.DeployOptions
  /** Absent where the options name a repository instead. */
  tree: SourceTree | undefined
}

/** Checks that the caller may deploy to the project that the options name; its known contents. Called before files are taken in where the form allows it. */
export type Admission = (options: api.DeployOptions) => Promise<KnownSizes>

/** `curl --data-binary` says it sends a form; the bytes of the archive tell what it is. */
export const archiveTypes = [
  'application/gzip',
  'application/x-gzip',
  'application/x-tar',
  'application/zip',
  'application/x-zip-compressed',
  'application/octet-stream',
  'application/x-www-form-urlencoded',
]

const dropMs = 30_000

export async function readDeployRequest(
  request: FastifyRequest,
  upload: StagedUpload,
  admit: Admission,
): Promise<DeployRequest> {
  try {
    return await readForm(request, upload, admit)
  } catch (error) {
    dropRest(request.raw)
    throw error
  }
}

/**
 * Takes in what is still on its way, so that the client comes to read why its upload was refused; one that goes on for
 * too long is cut off.
 */
function dropRest(body: IncomingMessage): void {
  if (body.readableEnded || body.destroyed) return
  const timer = setTimeout(() => body.socket.destroy(), dropMs).unref()
  body.once('close', () => clearTimeout(timer))
  body.unpipe()
  // A listener and not `resume` alone: an iterator that still lets go of the body would stop the flow.
  body.on('data', () => {})
  body.resume()
}

async function readForm(request: FastifyRequest, upload: StagedUpload, admit: Admission): Promise<DeployRequest> {
  if (request.isMultipart()) return fromMultipart(request, upload, admit)
  if (isStream(request.body)) {
    const options = optionsOfQuery(request.query as Record<string, string>)
    await admit(options)
    return { options, tree: unwrapped(await readArchive(request.body, upload), options) }
  }
  const { files, ...options } = request.body as DeployFiles
  const known = await admit(checkOptions(options))
  if ((files === undefined) === (options.git === undefined))
    throw new AppError('invalid_request', 'Send “files”, or name a repository in “git”: one of the two.')
  return { options, tree: files === undefined ? undefined : await readFiles(files, upload, known) }
}

type DeployFiles = api.DeployOptions & { files?: api.SourceFile[] }

function unwrapped(tree: SourceTree, { directory }: api.DeployOptions): SourceTree {
  // Whoever names a folder may count on the one around it.
  const isNamed = directory !== undefined && tree.some(({ path }) => path.startsWith(`${normalPath(directory)}/`))
  return isNamed ? tree : withoutWrappingFolder(tree)
}

async function fromMultipart(request: FastifyRequest, upload: StagedUpload, admit: Admission): Promise<DeployRequest> {
  let options: api.DeployOptions | undefined
  let tree: SourceTree | undefined
  const parts = request.parts({
    limits: { files: 1, fields: 4, fieldSize: 1024 * 1024, fileSize: archiveLimits.packedBytes },
  })
  for await (const part of parts as AsyncIterable<Multipart>) {
    if (part.type === 'field' && part.fieldname === 'options') {
      options = checkOptions(parseJson(part.value))
      await admit(options)
    } else if (part.type === 'file' && part.fieldname === 'archive') {
      tree = await readArchive(part.file, upload)
      if (part.file.truncated) throw new AppError('too_large', 'The archive is too large.')
    } else if (part.type === 'file') {
      part.file.resume()
      throw new AppError(
        'invalid_request',
        `There is a file “${part.fieldname.slice(0, 40)}”: send the archive as “archive”.`,
      )
    }
  }
  if (options === undefined) throw new AppError('invalid_request', 'The form lacks the field “options” (JSON).')
  if (options.git !== undefined)
    throw new AppError('invalid_request', 'Send an archive, or name a repository: not both.')
  if (tree === undefined) throw new AppError('invalid_request', 'The form lacks the file “archive” (zip or tar.gz).')
  return { options, tree: unwrapped(tree, options) }
}

/** `project`, `runtime`, `port`, `start`, and `env` as a JSON object or, each by itself, `env.NAME`. */
function optionsOfQuery(query: Record<string, string>): api.DeployOptions {
  const { env, port, ...rest } = query
  const single = Object.entries(rest).filter(([name]) => name.startsWith('env.'))
  const others = Object.fromEntries(Object.entries(rest).filter(([name]) => !name.startsWith('env.')))
  const variables = {
    ...(env === undefined ? {} : (parseJson(env) as Record<string, string>)),
    ...Object.fromEntries(single.map(([name, value]) => [name.slice(4), value])),
  }
  return checkOptions({
    ...others,
    ...(port === undefined ? {} : { port: Number(port) }),
    ...(Object.keys(variables).length === 0 ? {} : { env: variables }),
  })
}

export function checkOptions(value: unknown): api.DeployOptions {
  if (Value.Check(api.DeployOptions, value)) return value
  const details = [...Value.Errors(api.DeployOptions, value)]
    .slice(0, 20)
    .map(({ instancePath, message }) => ({ path: `/options${instancePath}`, message }))
  const list = details.map(({ path, message }) => `${path} ${message}`).join('; ')
  throw new AppError('invalid_request', `The options are not valid: ${list}.`, { details })
}

function parseJson(value: unknown): unknown {
  try {
    return typeof value === 'string' ? (JSON.parse(value) as unknown) : value
  } catch (cause) {
    throw new AppError('invalid_request', 'The options are not JSON.', { cause })
  }
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && 'pipe' in body
}
