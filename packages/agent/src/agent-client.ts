import type { ProcessSpec, SandboxFiles, SandboxProcess } from '@coderunner/runtime'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Dispatcher } from 'undici'
import { jsonBodyBytes, type ProcessListing } from './agent-wire.ts'
import { AgentFilesClient } from './client/agent-files-client.ts'
import { AgentLink, untrusted } from './client/agent-link.ts'
import { AgentProcessClient } from './client/agent-process-client.ts'

const listings = Type.Array(
  Type.Object({
    pid: Type.Integer({ minimum: 1 }),
    argv: Type.Array(Type.String()),
    cwd: Type.String(),
    pty: Type.Boolean(),
    startedAt: Type.String({ maxLength: 40 }),
  }),
)

/**
 * Programs and files of one sandbox, through its agent. `prefix` is the path under which the dispatcher's server hands
 * requests on to the agent, '' for the agent itself. Every running process holds a connection of the dispatcher.
 * What the agent answers is checked; an answer that makes no sense is a SandboxFailedError.
 */
export class AgentClient {
  readonly files: SandboxFiles
  #link: AgentLink

  constructor(options: { dispatcher: Dispatcher; prefix: string }) {
    this.#link = new AgentLink(options)
    this.files = new AgentFilesClient(this.#link)
  }

  /** Resolves when the agent answers; throws SandboxFailedError when nobody listens. */
  async ping(): Promise<void> {
    await this.#link.done({ method: 'GET', path: 'health' })
  }

  async run(spec: ProcessSpec): Promise<SandboxProcess> {
    return AgentProcessClient.attach(
      this.#link,
      await this.#link.stream({ method: 'POST', path: 'processes', json: spec }),
    )
  }

  /** A process started by somebody else: its output from now on, and its exit until 30 s after it. */
  async attach(pid: number): Promise<SandboxProcess> {
    const stream = await this.#link.stream({ method: 'GET', path: `processes/${pid}/output` })
    return AgentProcessClient.attach(this.#link, stream)
  }

  async processes(): Promise<ProcessListing[]> {
    const answer = await this.#link.json({ method: 'GET', path: 'processes' }, jsonBodyBytes)
    if (!Value.Check(listings, answer)) throw untrusted('no list of processes')
    return answer
  }
}
