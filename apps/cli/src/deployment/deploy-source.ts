/** What is deployed, and how it gets to the server: a folder, an archive file, or a repository the server fetches. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { ApiError, type Client, type DeployAccepted, type DeployOptions, type DeployPlan } from '@coderunner/client'
import type { CommandContext } from '../command.ts'
import { formatBytes } from '../duration.ts'
import { Failure } from '../failure.ts'
import { FileHashes } from '../source/file-hashes.ts'
import { readSourceFolder, type SourceFolder } from '../source/source-folder.ts'
import { prepareUpload, type SourceUpload, sendDeploy, sendPlan } from '../source/source-upload.ts'
import { safeText } from '../terminal/safe-text.ts'

export interface DeploySource {
  /** How much there is to upload. */
  bytes: number
  plan(request: DeployOptions): Promise<DeployPlan>
  send(request: DeployOptions): Promise<DeployAccepted>
}

export async function folderSource(
  { screen, signal, settings }: CommandContext,
  client: Client,
  { directory, projectId, envImported }: { directory: string; projectId: string | undefined; envImported: boolean },
): Promise<DeploySource> {
  const folder = await readSourceFolder(directory, signal)
  const hashes = await FileHashes.open(settings.cacheDirectory, folder.root)
  const stored = projectId === undefined ? undefined : hashes.storedAt(placeOf(client, projectId))
  const upload = await prepareUpload(folder, {
    client,
    hashes,
    projectId,
    signal,
    ...(stored !== undefined && { stored }),
  })
  tellUpload(screen, folder, upload, envImported)
  return {
    bytes: upload.bytes,
    plan: request => sendPlan(client, request, upload, signal),
    send: async request => {
      const sent = async (what: SourceUpload) => {
        const accepted = await sendDeploy(client, request, what, signal)
        await hashes.save(placeOf(client, accepted.projectId))
        return accepted
      }
      try {
        return await sent(upload)
      } catch (error) {
        // What the project had when it was asked has been swept since: everything goes once more.
        if (!(error instanceof ApiError) || error.code !== 'missing_files') throw tooLarge(error, upload.bytes)
        const whole = await prepareUpload(folder, { client, hashes, projectId: undefined, signal })
        return sent(whole)
      }
    },
  }
}

/** The server tells what kind of archive it is, by its bytes. */
export async function archiveSource(
  { screen, signal }: CommandContext,
  client: Client,
  file: string,
): Promise<DeploySource> {
  await using handle = await open(file, 'r').catch((cause: unknown) => {
    throw new Failure('source_unreadable', `${file} cannot be read: ${(cause as Error).message}`)
  })
  const { size } = await handle.stat()
  screen.note(`${safeText(file)}, ${formatBytes(size)}`)
  const archive = () => Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>
  return {
    bytes: size,
    plan: request => client.deployments.planArchive(request, archive, signal),
    send: async request => {
      try {
        return await client.deployments.deployArchive(request, archive, signal)
      } catch (error) {
        throw tooLarge(error, size)
      }
    },
  }
}

/** The repository is named in the request; the server fetches it. */
export function gitSource({ signal }: CommandContext, client: Client): DeploySource {
  return {
    bytes: 0,
    plan: request => client.deployments.plan(request, signal),
    send: request => client.deployments.deploy(request, signal),
  }
}

function placeOf(client: Client, projectId: string): string {
  return `${client.baseUrl} ${projectId}`
}

function tooLarge(error: unknown, bytes: number): unknown {
  if (!(error instanceof ApiError) || error.status !== 413) return error
  return new Failure('too_large', `${formatBytes(bytes)} is more than the server takes: ${error.detail}`, {
    hint: 'Leave out what the application does not need with a .coderunnerignore file.',
  })
}

function tellUpload(
  screen: CommandContext['screen'],
  folder: SourceFolder,
  upload: SourceUpload,
  envImported: boolean,
): void {
  const kept = envImported ? folder.secretFiles.filter(path => path !== '.env') : folder.secretFiles
  if (kept.length > 0)
    screen.warn(
      `not uploaded, they may hold secrets: ${listed(kept)}. Pass what the application needs with --env${kept.includes('.env') ? ', or all of .env with --import-env' : ''}.`,
    )
  if (folder.specialFiles.length > 0)
    screen.warn(`not uploaded, neither files nor links: ${listed(folder.specialFiles)}.`)
  if (folder.entries.length === 0)
    throw new Failure('nothing_to_run', `${folder.root} holds no files to upload.`, {
      hint: 'Are they all in .gitignore or .coderunnerignore?',
    })
  const all = `${folder.entries.length} ${folder.entries.length === 1 ? 'file' : 'files'}, ${formatBytes(folder.totalBytes)}`
  const unchanged = 'files' in upload && upload.unchanged
  screen.note(
    unchanged
      ? `${all}; nothing has changed since it was uploaded before`
      : `${all}; ${formatBytes(upload.bytes)} to upload`,
  )
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).map(name => safeText(name))
  return names.length > shown.length ? `${shown.join(', ')} and ${names.length - shown.length} more` : shown.join(', ')
}
