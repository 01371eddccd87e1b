import type { Readable } from 'node:stream'
import { AppError } from '@coderunner/contract'
import { type FileChange, type FileEntry, FileNotFoundError, type SandboxFiles } from '@coderunner/runtime'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { frameBytes, listedEntries, type WireFileEntry } from '../agent-wire.ts'
import { type AgentLink, type AgentRequest, readLines, unreachable, untrusted } from './agent-link.ts'

const path = Type.String({ maxLength: 8192 })
const entry = Type.Object({
  name: path,
  path,
  type: Type.Union([Type.Literal('file'), Type.Literal('directory'), Type.Literal('symlink'), Type.Literal('other')]),
  size: Type.Integer({ minimum: 0 }),
  mode: Type.Integer({ minimum: 0, maximum: 0o7777 }),
  modifiedAt: Type.String({ maxLength: 40 }),
  symlinkTarget: Type.Optional(path),
})
const entries = Type.Array(entry, { maxItems: listedEntries })
const change = Type.Object({
  type: Type.Union([Type.Literal('create'), Type.Literal('write'), Type.Literal('remove'), Type.Literal('rename')]),
  path,
})

export class AgentFilesClient implements SandboxFiles {
  #link: AgentLink

  constructor(link: AgentLink) {
    this.#link = link
  }

  read(path: string): Promise<Readable> {
    return about(path, this.#link.stream({ method: 'GET', path: 'files/content', query: { path } }))
  }

  write(path: string, content: Readable | Buffer, options: { mode?: number } = {}): Promise<void> {
    const query = { path, ...(options.mode !== undefined && { mode: (options.mode & 0o7777).toString(8) }) }
    return about(path, this.#link.done({ method: 'PUT', path: 'files/content', query, body: content }))
  }

  async stat(path: string): Promise<FileEntry> {
    const answer = await about(path, this.#link.json({ method: 'GET', path: 'files/stat', query: { path } }, 64 * 1024))
    if (!Value.Check(entry, answer)) throw untrusted('no file entry')
    return entryOf(answer)
  }

  async list(path: string, options: { depth?: number } = {}): Promise<FileEntry[]> {
    const query = { path, depth: String(options.depth ?? 1) }
    const answer = await about(path, this.#link.json({ method: 'GET', path: 'files/list', query }, 64 * 1024 * 1024))
    if (!Value.Check(entries, answer)) throw untrusted('no file entries')
    return answer.map(entryOf)
  }

  makeDir(path: string): Promise<void> {
    return this.#link.done({ method: 'POST', path: 'files/directories', query: { path } })
  }

  remove(path: string): Promise<void> {
    return this.#link.done({ method: 'DELETE', path: 'files', query: { path } })
  }

  rename(from: string, to: string): Promise<void> {
    return about(from, this.#link.done({ method: 'POST', path: 'files/rename', json: { from, to } }))
  }

  async *watch(path: string, options: { recursive: boolean; signal: AbortSignal }): AsyncGenerator<FileChange> {
    const { recursive, signal } = options
    if (signal.aborted) return
    const request: AgentRequest = { method: 'GET', path: 'files/watch', query: { path, recursive: String(recursive) } }
    try {
      const stream = await about(path, this.#link.stream({ ...request, signal }))
      for await (const line of readLines(stream, frameBytes)) yield changeOf(line)
    } catch (error) {
      if (signal.aborted) return
      throw error instanceof AppError ? error : unreachable(error)
    }
  }

  unpack(path: string, tar: Readable): Promise<void> {
    return this.#link.done({ method: 'PUT', path: 'files/archive', query: { path }, body: tar })
  }

  pack(path: string): Promise<Readable> {
    return about(path, this.#link.stream({ method: 'GET', path: 'files/archive', query: { path } }))
  }
}

/** A missing file is told by its name as the caller knows it. */
async function about<T>(path: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw error instanceof AppError && error.code === 'not_found' ? new FileNotFoundError(path) : error
  }
}

function entryOf({ modifiedAt, symlinkTarget, ...rest }: WireFileEntry): FileEntry {
  const date = new Date(modifiedAt)
  if (Number.isNaN(date.getTime())) throw untrusted('no time of modification')
  return { ...rest, modifiedAt: date, ...(symlinkTarget !== undefined && { symlinkTarget }) }
}

function changeOf(line: string): FileChange {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw untrusted('no JSON', cause)
  }
  if (!Value.Check(change, value)) throw untrusted('no file change')
  return value
}
