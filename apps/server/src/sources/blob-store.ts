/** Contents of uploaded files on disk, by hash within their project: `<directory>/<projectId>/blobs/<aa>/<hash>`. */
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { AppError, idPattern } from '@coderunner/contract'
import { StagedUpload } from './staged-upload.ts'

export class BlobStore {
  readonly #projects: string
  readonly #staging: string

  /** `directory`: the server's own data directory. */
  constructor(directory: string) {
    this.#projects = join(directory, 'projects')
    this.#staging = join(directory, 'staging')
  }

  /** Drops what uploads left behind that were cut off with the server. Once, before the first upload. */
  async prepare(): Promise<void> {
    await rm(this.#staging, { recursive: true, force: true })
    await mkdir(this.#staging, { recursive: true, mode: 0o700 })
  }

  stage(): Promise<StagedUpload> {
    return StagedUpload.create(this.#staging)
  }

  /** Moves staged contents in; one that is there already is left as it is. Rows are written after it, never before. */
  async adopt(projectId: string, upload: StagedUpload): Promise<void> {
    const folders = new Set<string>()
    for (const hash of upload.hashes.keys()) {
      const path = this.#path(projectId, hash)
      const folder = hash.slice(0, 2)
      if (!folders.has(folder)) await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
      folders.add(folder)
      await rename(upload.pathOf(hash), path)
    }
  }

  async read(projectId: string, hash: string, maxBytes: number): Promise<Buffer> {
    const path = this.#path(projectId, hash)
    const { size } = await stat(path)
    if (size > maxBytes) throw new AppError('too_large', `A file of ${size} bytes is larger than ${maxBytes} bytes.`)
    return readFile(path)
  }

  open(projectId: string, hash: string): Readable {
    return createReadStream(this.#path(projectId, hash), { highWaterMark: 256 * 1024 })
  }

  async remove(projectId: string, hash: string): Promise<void> {
    await rm(this.#path(projectId, hash), { force: true })
  }

  async removeProject(projectId: string): Promise<void> {
    if (!idPattern.test(projectId)) throw new Error(`${projectId} is not a project id`)
    await rm(join(this.#projects, projectId, 'blobs'), { recursive: true, force: true })
  }

  #path(projectId: string, hash: string): string {
    if (!idPattern.test(projectId) || !/^[0-9a-f]{64}$/.test(hash)) throw new Error('Not a blob name')
    return join(this.#projects, projectId, 'blobs', hash.slice(0, 2), hash)
  }
}
