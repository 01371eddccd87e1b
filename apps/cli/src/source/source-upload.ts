import { readFile } from 'node:fs/promises'
import type { Client, DeployAccepted, DeployOptions, DeployPlan, SourceFile } from '@coderunner/client'
import { Failure } from '../failure.ts'
import type { FileHashes } from './file-hashes.ts'
import { archiveStream } from './source-archive.ts'
import type { SourceEntry, SourceFolder } from './source-folder.ts'

/** More than this goes as a compressed stream instead of one JSON document. */
const mostJsonBytes = 20_000_000
const filesAtOnce = 8

/** How a folder gets to the server: the files it lacks only, or everything as one archive. */
export type SourceUpload =
  | { files: SourceFile[]; bytes: number; unchanged: boolean }
  | { entries: SourceEntry[]; bytes: number }

export interface UploadContext {
  client: Client
  hashes: FileHashes
  /** Of a project that exists already: its own stored files need no second upload. */
  projectId: string | undefined
  /** Hashes that the project is known to have; it is asked when absent. */
  stored?: ReadonlySet<string>
  signal: AbortSignal
}

/** Chooses the cheaper way. */
export async function prepareUpload(
  folder: SourceFolder,
  { client, hashes: fileHashes, projectId, stored, signal }: UploadContext,
): Promise<SourceUpload> {
  const files = folder.entries.filter(entry => entry.kind === 'file')
  if (projectId === undefined && folder.totalBytes > mostJsonBytes)
    return { entries: folder.entries, bytes: folder.totalBytes }
  const hashes = await mapLimited(files, file => fileHashes.of(file, signal))
  const known = new Map(files.map((file, i) => [file.path, hashes[i] ?? '']))
  const different = [...new Set(hashes)]
  const missing = new Set(
    stored !== undefined
      ? different.filter(hash => !stored.has(hash))
      : projectId === undefined || hashes.length === 0
        ? different
        : await client.projects.missingSources(projectId, different, signal),
  )
  const bytes = files.reduce((sum, file) => sum + (missing.has(known.get(file.path) ?? '') ? file.size : 0), 0)
  if (bytes > mostJsonBytes) return { entries: folder.entries, bytes: folder.totalBytes }
  const described = await mapLimited(folder.entries, entry => describe(entry, known.get(entry.path), missing))
  return { files: described, bytes, unchanged: missing.size === 0 && files.length > 0 }
}

export function sendDeploy(
  client: Client,
  options: DeployOptions,
  upload: SourceUpload,
  signal: AbortSignal,
): Promise<DeployAccepted> {
  return 'files' in upload
    ? client.deployments.deploy({ ...options, files: upload.files }, signal)
    : client.deployments.deployArchive(options, () => archiveStream(upload.entries), signal)
}

export function sendPlan(
  client: Client,
  options: DeployOptions,
  upload: SourceUpload,
  signal: AbortSignal,
): Promise<DeployPlan> {
  return 'files' in upload
    ? client.deployments.plan({ ...options, files: upload.files }, signal)
    : client.deployments.planArchive(options, () => archiveStream(upload.entries), signal)
}

async function describe(entry: SourceEntry, hash: string | undefined, missing: Set<string>): Promise<SourceFile> {
  if (entry.kind === 'link') return { path: entry.path, link: entry.target }
  const mode = entry.executable ? { executable: true } : {}
  if (hash !== undefined && !missing.has(hash)) return { path: entry.path, hash, ...mode }
  const content = await readFile(entry.absolute)
  // The total was reckoned with the size it had when the folder was listed.
  if (content.length !== entry.size)
    throw new Failure('source_changed', `${entry.path} changed while it was read: deploy again.`)
  return { path: entry.path, content: content.toString('base64'), ...mode }
}

/** `Promise.all` with few files open at a time. */
async function mapLimited<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = Array.from({ length: items.length })
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index] as T)
    }
  }
  await Promise.all(Array.from({ length: Math.min(filesAtOnce, items.length) }, worker))
  return results
}
