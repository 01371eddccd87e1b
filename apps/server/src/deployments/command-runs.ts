/** One-off commands in a sandbox like an instance's: made for the command, gone with it or with whoever waits for it. */
import { AppError, type api } from '@coderunner/contract'
import type { Fence, Sandbox, SandboxProvider } from '@coderunner/runtime'
import type { Logger } from 'pino'
import type { Db } from '../database.ts'
import type { DeploymentWithProject } from './deployment-store.ts'
import { instances } from './instance-store.ts'
import { instanceLimits, softwareOf } from './run-steps.ts'

export interface CommandRunsDeps {
  db: Db
  provider: SandboxProvider
  log: Logger
  environment(deployment: DeploymentWithProject): Promise<Record<string, string>>
}

const maxTimeoutMs = 3600_000

export class CommandRuns implements AsyncDisposable {
  readonly #deps: CommandRunsDeps
  readonly #running = new Map<string, { abort: AbortController; done: Promise<void> }>()

  constructor(deps: CommandRunsDeps) {
    this.#deps = deps
  }

  isRunning(sandboxId: string): boolean {
    return this.#running.has(sandboxId)
  }

  /** Checks what can be checked, so that a refusal is an answer and not an event; the command starts with the iteration. */
  async prepare(
    deployment: DeploymentWithProject,
    command: { argv: readonly string[]; timeoutMs?: number },
    signal: AbortSignal,
  ): Promise<AsyncGenerator<api.RunEvent>> {
    if (deployment.layers === null || deployment.layers.length === 0)
      throw new AppError('not_supported', 'Commands need a deployment that has been built and has a runtime.')
    const env = await this.#deps.environment(deployment)
    return this.#run(deployment, { ...command, layers: deployment.layers, env }, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { abort } of this.#running.values()) abort.abort()
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  async *#run(
    deployment: DeploymentWithProject,
    command: { argv: readonly string[]; timeoutMs?: number; layers: readonly string[]; env: Record<string, string> },
    signal: AbortSignal,
  ): AsyncGenerator<api.RunEvent> {
    const { db, provider, log } = this.#deps
    const store = instances(db)
    const abort = new AbortController()
    const both = AbortSignal.any([signal, abort.signal])
    const done = Promise.withResolvers<void>()
    const id = await store.insert({ deploymentId: deployment.id, kind: 'command', process: 'command', number: 1 })
    this.#running.set(id, { abort, done: done.promise })
    // The sandbox is the connection's and not the reconciler's: it has a fence of its own.
    const fence: Fence = { key: id, epoch: 1 }
    let sandbox: Sandbox | undefined
    try {
      sandbox = await provider.create(
        {
          id,
          group: deployment.project_id,
          labels: { deployment: deployment.id, project: deployment.project_id, kind: 'command' },
          template: 'node',
          ...softwareOf(deployment.detection),
          layers: command.layers,
          limits: instanceLimits,
          env: command.env,
          main: { kind: 'agent' },
          network: { egress: 'internet' },
        },
        fence,
      )
      await store.update(id, { status: 'RUNNING' })
      both.throwIfAborted()
      const process = await sandbox.run({ argv: command.argv, timeoutMs: command.timeoutMs ?? maxTimeoutMs })
      const kill = () => void process.kill('SIGKILL').catch(() => {})
      both.addEventListener('abort', kill, { once: true })
      if (both.aborted) kill()
      for await (const { stream, data } of process.output())
        yield { stream: stream === 'stderr' ? 'stderr' : 'stdout', data: data.toString('base64') }
      const exit = await process.exit
      if (exit.timedOut) yield { error: { code: 'cancelled', message: 'The command took too long and was ended.' } }
      else yield { exitCode: exit.code }
    } catch (error) {
      if (both.aborted) return
      const known = error instanceof AppError
      if (!known) log.error({ err: error }, 'a command failed')
      const message = known ? error.message : 'Something went wrong in CodeRunner itself; its log says more.'
      yield { error: { code: known ? error.code : 'internal', message } }
    } finally {
      await sandbox
        ?.destroy(fence)
        .catch((error: unknown) => log.warn({ err: error }, 'a command’s sandbox is ended later'))
      await store.update(id, { status: 'GONE' })
      this.#running.delete(id)
      done.resolve()
    }
  }
}
