/** Executor of the step that fetches a repository: what it brings is taken in as an upload would be. */
import { AppError } from '@coderunner/contract'
import { type BuilderTask, withBuilder } from '../builds/builder-sandbox.ts'
import type { Db } from '../database.ts'
import { readArchive } from '../sources/archive-reader.ts'
import type { BlobStore } from '../sources/blob-store.ts'
import { fetchCommit } from '../sources/git-fetch.ts'
import { type GitLocation, gitLocation } from '../sources/git-source.ts'
import { InvalidArchiveError } from '../sources/invalid-archive.ts'
import { sources } from '../sources/source-store.ts'
import { type SourceTree, shown, treeProblem } from '../sources/source-tree.ts'
import type { StagedUpload } from '../sources/staged-upload.ts'
import { treeBelow } from '../sources/wrapping-folder.ts'
import type { BuilderRooms } from './builder-rooms.ts'
import { type DeploymentRow, deployments } from './deployment-store.ts'
import type { StepExecutors, StepRun } from './step-executors.ts'

/** Seals what has to be kept and must not be read. */
export interface Secrets {
  seal(plaintext: string, context: string): { sealed: Buffer; keyId: string }
  open(sealed: { sealed: Buffer; keyId: string }, context: string): string
}

export interface FetchStepDeps {
  db: Db
  blobs: BlobStore
  rooms: BuilderRooms
  secrets: Secrets
  /** Proxy settings of the machine. */
  environment: Readonly<Record<string, string>>
  /** Hosts that may be reached by plain http. */
  httpHosts: readonly string[]
}

export class FetchStep {
  readonly #deps: FetchStepDeps

  constructor(deps: FetchStepDeps) {
    this.#deps = deps
  }

  get executors(): Pick<StepExecutors, 'fetch'> {
    return { fetch: run => this.#fetch(run) }
  }

  async #fetch(run: StepRun): Promise<'done'> {
    const { db, blobs, rooms, environment, httpHosts } = this.#deps
    const { git } = run.deployment.options
    if (git === undefined) throw new Error('A fetch was planned for a deployment without a repository.')
    const location = gitLocation(git, httpHosts)
    const token = this.#token(run.deployment)
    await run.log.system(`Fetching ${location.url}${location.ref === 'HEAD' ? '' : ` at ${location.ref}`}.`)
    await using upload = await blobs.stage()
    const tree = await rooms.run(run, { layers: [], software: {}, env: environment }, task =>
      fetched(task, location, token, upload),
    )
    run.signal.throwIfAborted()
    const { project_id: projectId } = run.deployment
    await blobs.adopt(projectId, upload)
    await db.transaction().execute(async tx => {
      await sources(tx).addBlobs(projectId, upload.hashes)
      const sourceId = await sources(tx).add(projectId, tree)
      await deployments(tx).asHolder(run.lease).update({ fetchedSourceId: sourceId })
    })
    return 'done'
  }

  #token({ id, git_token: sealed, git_token_key_id: keyId }: DeploymentRow): string | undefined {
    if (sealed === null || keyId === null) return undefined
    return this.#deps.secrets.open({ sealed, keyId }, `git token ${id}`)
  }
}

function fetched(
  task: BuilderTask,
  location: GitLocation,
  token: string | undefined,
  upload: StagedUpload,
): Promise<SourceTree> {
  return withBuilder(task, async builder => {
    const packed = await fetchCommit(
      { attempt: command => builder.attempt(command), pack: () => builder.sandbox.files.pack('.') },
      location,
      token,
    )
    try {
      return chosen(await readArchive(packed, upload), location)
    } catch (error) {
      if (!(error instanceof InvalidArchiveError)) throw error
      throw new AppError('fetch_failed', error.message.replace(/^The archive/, 'The repository'), { cause: error })
    } finally {
      packed.destroy()
    }
  })
}

function chosen(tree: SourceTree, { url, directory }: GitLocation): SourceTree {
  if (directory === undefined) return tree
  const below = treeBelow(tree, directory)
  if (below === undefined) throw new AppError('fetch_failed', `${url} has no folder ${shown(directory)}.`)
  const found = treeProblem(below)
  if (found !== undefined)
    throw new AppError('fetch_failed', `In ${shown(directory)}, “${shown(found.path)}” ${found.problem}.`)
  return below
}
