import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Client, DeployAccepted, DeployOptions, DeployPlan, SourceFile } from '@coderunner/client'
import { Failure } from '../failure.ts'
import { archiveStream } from './source-archive.ts'
import type { SourceEntry, SourceFolder } from './source-folder.ts'

/** More than this goes as a compressed stream instead of one JSON document. */
const mostJsonBytes = 20_000_000
const filesAtOnce = 8

/** How a folder gets to the server: the files it lacks only, or everything as one archive. */
export type SourceUpload =
  | { files: SourceFile[]; bytes: number; unchanged: boolean }
  | { entries: SourceEntry[]; bytes: number }

/**
 * Chooses the cheaper way. `projectId` is that of a project which exists already: its own stored files need no second
 * upload.
 */
export async function prepareUpload(
  client: Client,
  folder: SourceFolder,
  projectId: string | undefined,
  signal: AbortSignal,
): Promise<SourceUpload> {
  const files = folder.entries.filter(entry => entry.kind === 'file')
  if (projectId === undefined && folder.totalBytes > mostJsonBytes)
    return { entries: folder.entries, bytes: folder.totalBytes }
  const hashes = await mapLimited(files, file => hashOf(file, signal))
  const known = new Map(files.map((file, i) => [file.path, hashes[i] ?? '']))
  const missing = new Set(
    projectId === undefined || hashes.length === 0
      ? hashes
      : await client.projects.missingSources(projectId, [...new Set(hashes)], signal),
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

async function hashOf(file: SourceEntry & { kind: 'file' }, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(file.absolute, { signal })) hash.update(chunk as Buffer)
  } catch (cause) {
    signal.throwIfAborted()
    throw new Failure('source_unreadable', `${file.path} cannot be read: ${(cause as Error).message}`)
  }
  return hash.digest('hex')
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
