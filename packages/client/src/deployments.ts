import type { DeploymentAction } from '@coderunner/contract/deployment'
import { newId } from '@coderunner/contract/ids'
import { type CommandEvent, commandEvents } from './command-events.ts'
import { type ArchiveSource, archiveForm } from './multipart.ts'
import { itemsOf, type Page } from './pages.ts'
import { route } from './routes.ts'
import type {
  DeployAccepted,
  DeployFiles,
  Deployment,
  DeploymentSummary,
  DeployOptions,
  DeployPlan,
  OperationStarted,
  RunCommand,
} from './shapes.ts'
import type { Transport } from './transport.ts'

/** Below what proxies cut silent connections after. */
const changeWaitMs = 25_000

export class Deployments {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Every call is one deployment, also when it is repeated because a connection dropped. */
  deploy(request: DeployFiles, signal?: AbortSignal): Promise<DeployAccepted> {
    return this.#transport.json(route.deploy, { json: request, idempotencyKey: newId(), signal })
  }

  /** Uploads a tar.gz. A stream has to give equal bytes each time it is opened. */
  deployArchive(options: DeployOptions, archive: ArchiveSource, signal?: AbortSignal): Promise<DeployAccepted> {
    const key = newId()
    const body = () => archiveForm(options, archive, `coderunner-${key}`)
    return this.#transport.json(route.deploy, { body, idempotencyKey: key, signal })
  }

  /** What would be detected and done; nothing is stored and nothing runs. */
  plan(request: DeployFiles, signal?: AbortSignal): Promise<DeployPlan> {
    return this.#transport.json(route.planDeploy, { json: request, signal })
  }

  planArchive(options: DeployOptions, archive: ArchiveSource, signal?: AbortSignal): Promise<DeployPlan> {
    const body = () => archiveForm(options, archive, `coderunner-${newId()}`)
    return this.#transport.json(route.planDeploy, { body, signal })
  }

  /** Newest first; of one project when `project` (its name) is given. */
  list({ project, limit }: { project?: string | undefined; limit?: number } = {}): AsyncGenerator<DeploymentSummary> {
    return itemsOf(cursor =>
      this.#transport.json<Page<DeploymentSummary>>(route.listDeployments, { query: { project, limit, cursor } }),
    )
  }

  get(id: string, signal?: AbortSignal): Promise<Deployment> {
    return this.#transport.json(route.getDeployment, { params: { id }, signal })
  }

  /** As soon as it is no longer what it was at `revision`; as it is when that takes too long. */
  getChanged(id: string, revision: string | undefined, signal?: AbortSignal): Promise<Deployment> {
    const query = revision === undefined ? {} : { since: revision, waitMs: changeWaitMs }
    return this.#transport.json(route.getDeployment, { params: { id }, query, signal })
  }

  act(id: string, action: Exclude<DeploymentAction, 'destroy'>, signal?: AbortSignal): Promise<OperationStarted> {
    return this.#transport.json(route.actOnDeployment, { params: { id, action }, idempotencyKey: newId(), signal })
  }

  destroy(id: string, signal?: AbortSignal): Promise<OperationStarted | undefined> {
    return this.#transport.json(route.destroyDeployment, { params: { id }, signal })
  }

  /** Runs a one-off command in a sandbox of its own, with the deployment's code and environment. */
  async *run(id: string, command: RunCommand, signal?: AbortSignal): AsyncGenerator<CommandEvent> {
    const response = await this.#transport.send(route.runCommand, {
      params: { id },
      json: command,
      accept: 'application/x-ndjson, application/problem+json',
      signal,
    })
    yield* commandEvents(response, this.#transport, signal)
  }
}
