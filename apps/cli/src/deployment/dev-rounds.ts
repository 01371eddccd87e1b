/**
 * The rounds of `coderunner dev`: read the folder, upload what the project lacks, wait for the verdict, say it in a line,
 * wait for the next change. A change that comes while a round is under way ends that round when it has taken long
 * already; one that is nearly live is left to finish.
 */
import { setTimeout as delay } from 'node:timers/promises'
import {
  ApiError,
  type Client,
  type DeployAccepted,
  type DeployOptions,
  type LogEntry,
  ServerUnreachableError,
} from '@coderunner/client'
import { formatDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import { FileHashes } from '../source/file-hashes.ts'
import type { FolderWatch } from '../source/folder-watch.ts'
import { readSourceFolder, type SourceFolder } from '../source/source-folder.ts'
import { prepareUpload, sendDeploy } from '../source/source-upload.ts'
import { safeText } from '../terminal/safe-text.ts'
import type { Screen } from '../terminal/screen.ts'
import { waitForOperation } from './wait-for-operation.ts'

export interface DevRoundsOptions {
  client: Client
  directory: string
  request: DeployOptions
  watch: FolderWatch
  /** Of a project that is there already. */
  projectId: string | undefined
  screen: Screen
  signal: AbortSignal
}

interface RoundResult {
  status: 'live' | 'failed' | 'replaced'
  error?: { code: string; message: string }
  /** The last that the build or the application said before it failed. */
  tail?: readonly LogEntry[]
}

/** A round that takes longer is given up for the next change. */
const patienceMs = 2000
const roundTimeoutMs = 20 * 60_000
const tailLines = 20
const longestRetryMs = 10_000

export class DevRounds {
  readonly #options: DevRoundsOptions
  readonly #hashes = FileHashes.inMemory()
  /** Contents the project has by now; asked for in the first round. */
  #stored: Set<string> | undefined
  /** Path to content of what was deployed last, well or not. */
  #before = new Map<string, string>()
  #projectId: string | undefined
  #underWay: string | undefined

  constructor(options: DevRoundsOptions) {
    this.#options = options
    this.#projectId = options.projectId
  }

  /** The deployment being made, for whoever has to cancel it. */
  get underWay(): string | undefined {
    return this.#underWay
  }

  /** Goes on until the signal is aborted, which it ends by throwing. Yields after each round that reached the server. */
  async *run(): AsyncGenerator<DeployAccepted> {
    const { watch, signal } = this.#options
    for (let startedAt = performance.now(); ; startedAt = await watch.nextBatch(signal)) {
      const accepted = await this.#round(startedAt)
      if (accepted !== undefined) yield accepted
    }
  }

  /** One round, again and again while the server cannot be reached. */
  async #round(startedAt: number): Promise<DeployAccepted | undefined> {
    const { screen, signal, watch } = this.#options
    for (let retryMs = 500; ; retryMs = Math.min(retryMs * 2, longestRetryMs)) {
      try {
        return await this.#attempt(startedAt)
      } catch (error) {
        signal.throwIfAborted()
        screen.activity(undefined)
        if (!(error instanceof Failure) && !(error instanceof ApiError) && !(error instanceof ServerUnreachableError))
          throw error
        this.#before = new Map()
        if (error instanceof ApiError && (error.status === 401 || error.status === 403)) throw error
        this.#tell(startedAt, [], { status: 'failed', error: { code: error.code, message: error.message } })
        if (!(error instanceof ServerUnreachableError)) return undefined
        await Promise.race([delay(retryMs, undefined, { signal }), watch.changed(signal)])
      }
    }
  }

  async #attempt(startedAt: number): Promise<DeployAccepted | undefined> {
    const { directory, signal, watch, screen } = this.#options
    const folder = await readSourceFolder(directory, signal, watch)
    watch.forgetUnseen()
    if (folder.entries.length === 0) throw new Failure('nothing_to_run', `${directory} holds no files to upload.`)
    const { tree, hashes } = await this.#treeOf(folder)
    const changed = differences(this.#before, tree)
    if (changed.length === 0) return undefined
    this.#before = tree
    screen.activity(() => 'Uploading')
    const accepted = await this.#send(folder)
    this.#projectId = accepted.projectId
    this.#stored = new Set([...(this.#stored ?? []), ...hashes])
    this.#underWay = accepted.deploymentId
    const result = await this.#verdict(accepted)
    this.#underWay = undefined
    this.#tell(startedAt, changed, result, accepted)
    return accepted
  }

  /** Path to content, and the contents. */
  async #treeOf({ entries }: SourceFolder): Promise<{ tree: Map<string, string>; hashes: Set<string> }> {
    const tree = new Map<string, string>()
    const hashes = new Set<string>()
    for (const entry of entries) {
      if (entry.kind === 'link') tree.set(entry.path, `-> ${entry.target}`)
      else {
        const hash = await this.#hashes.of(entry, this.#options.signal)
        hashes.add(hash)
        tree.set(entry.path, entry.executable ? `${hash} executable` : hash)
      }
    }
    return { tree, hashes }
  }

  async #send(folder: SourceFolder): Promise<DeployAccepted> {
    const { client, signal, request } = this.#options
    const context = { client, hashes: this.#hashes, signal, projectId: this.#projectId }
    const stored = this.#stored
    try {
      const upload = await prepareUpload(folder, { ...context, ...(stored !== undefined && { stored }) })
      return await sendDeploy(client, request, upload, signal)
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'missing_files') throw error
      // Swept by the server since it was asked: everything once more.
      this.#stored = undefined
      return sendDeploy(client, request, await prepareUpload(folder, { ...context, projectId: undefined }), signal)
    }
  }

  async #verdict({ deploymentId, operationId }: DeployAccepted): Promise<RoundResult> {
    const { client, screen, signal, watch } = this.#options
    const ended = new AbortController()
    const replacing = this.#replaceWhenChanged(deploymentId, AbortSignal.any([signal, ended.signal]))
    try {
      const { deployment, operation } = await waitForOperation({
        client,
        deploymentId,
        operationId,
        timeoutMs: roundTimeoutMs,
        signal,
        onSteps: steps => {
          const running = steps.find(({ status }) => status === 'RUNNING')
          screen.activity(() => safeText(running?.name ?? 'Waiting'))
        },
      })
      if (operation?.status === 'SUCCEEDED') return { status: 'live' }
      if (operation?.status === 'CANCELLED' && watch.isChanged) return { status: 'replaced' }
      const { records } = await client.logs.page({ deploymentId }, { lines: tailLines }, signal)
      const step = operation?.steps.find(({ status }) => status === 'FAILED')
      const error = step?.error ?? deployment.error ?? { code: 'start_failed', message: 'It failed.' }
      const message = step === undefined ? error.message : `${step.name}: ${error.message}`
      return {
        status: 'failed',
        error: { code: error.code, message },
        tail: records.filter(({ source }) => source !== 'system'),
      }
    } finally {
      ended.abort()
      await replacing
      screen.activity(undefined)
    }
  }

  /** Cancels the deployment once there is something newer and it has had its time. */
  async #replaceWhenChanged(deploymentId: string, signal: AbortSignal): Promise<void> {
    const { client, watch } = this.#options
    try {
      await Promise.all([delay(patienceMs, undefined, { signal }), watch.changed(signal)])
      if (!signal.aborted) await client.deployments.act(deploymentId, 'cancel', signal)
    } catch {
      // It has ended meanwhile, or cannot be cancelled any more: its verdict is near.
    }
  }

  #tell(startedAt: number, changed: readonly string[], result: RoundResult, accepted?: DeployAccepted): void {
    const { screen } = this.#options
    screen.activity(undefined)
    const durationMs = Math.round(performance.now() - startedAt)
    if (screen.json) {
      const { status, error } = result
      return screen.document({ status, error, durationMs, changed, deploymentId: accepted?.deploymentId })
    }
    const time = screen.style('dim', new Date().toTimeString().slice(0, 8))
    const what = namesOf(changed)
    if (result.status === 'live')
      return screen.note(`${time} ${screen.style('green', 'live')} after ${formatDuration(durationMs)}${what}`)
    if (result.status === 'replaced')
      return screen.note(`${time} given up after ${formatDuration(durationMs)} for a newer change${what}`)
    for (const entry of result.tail ?? []) screen.outputLine(entry.message, { always: true })
    screen.warn(`${time} ${screen.style('red', 'failed')} after ${formatDuration(durationMs)}${what}`)
    screen.warn(safeMessage(result.error?.message ?? ''))
    if (this.#projectId !== undefined) screen.note('The version before it, if there is one, goes on serving.')
  }
}

function differences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const changed = [...after].flatMap(([path, content]) => (before.get(path) === content ? [] : [path]))
  return [...changed, ...[...before.keys()].filter(path => !after.has(path))]
}

function namesOf(paths: readonly string[]): string {
  if (paths.length === 0) return ''
  const shown = paths.slice(0, 3).map(path => safeText(path))
  return `: ${shown.join(', ')}${paths.length > shown.length ? ` and ${paths.length - shown.length} more` : ''}`
}

/** Lines of a message each by itself: `safeText` would spell their ends out. */
function safeMessage(message: string): string {
  return message
    .split('\n')
    .map(line => safeText(line))
    .join('\n  ')
}
