/**
 * A sandbox that builds: made for one task, ended with it whatever happens, its output a log like any other. Everything
 * it does is given up at once when the signal aborts.
 */
import { AppError } from '@coderunner/contract'
import type { Fence, Limits, Sandbox, SandboxProvider } from '@coderunner/runtime'
import { buildFailure, type FailedCommand } from './build-failure.ts'
import type { BuildCommand, BuildRecipe } from './build-recipe.ts'
import { LineSplitter } from './line-splitter.ts'

export interface BuildOutput {
  build(stream: 'stdout' | 'stderr', lines: readonly string[]): Promise<void>
}

export interface BuilderTask {
  provider: SandboxProvider
  /** Of the row that says the sandbox belongs to the deployment. */
  sandboxId: string
  projectId: string
  deploymentId: string
  fence: Fence
  layers: readonly string[]
  software: BuildRecipe['software']
  env: Readonly<Record<string, string>>
  output: BuildOutput
  /** Time limit and cancellation. */
  signal: AbortSignal
}

export const builderLimits: Limits = { memoryMb: 2048, cpus: 2, pids: 1024, diskMb: 4096 }
const keptLines = 400

/** Gives the work a builder; what it resolves with, or the signal's reason once aborted. The sandbox is gone afterwards. */
export async function withBuilder<T>(task: BuilderTask, work: (builder: Builder) => Promise<T>): Promise<T> {
  const { provider, signal, fence } = task
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  aborted.promise.catch(() => {})
  let creating: Promise<Sandbox> | undefined
  try {
    creating = provider.create(
      {
        id: task.sandboxId,
        group: task.projectId,
        labels: { deployment: task.deploymentId, project: task.projectId, kind: 'builder' },
        template: 'builder',
        ...task.software,
        layers: task.layers,
        limits: builderLimits,
        env: task.env,
        main: { kind: 'agent' },
        network: { egress: 'internet' },
      },
      fence,
    )
    const sandbox = await Promise.race([creating, aborted.promise])
    return await Promise.race([work(new Builder(sandbox, task)), aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
    const sandbox = await creating?.catch(() => undefined)
    // Captured already: then this finds nothing, which is no error.
    await sandbox?.destroy(fence)
  }
}

export class Builder {
  readonly sandbox: Sandbox
  readonly #task: BuilderTask

  constructor(sandbox: Sandbox, task: BuilderTask) {
    this.sandbox = sandbox
    this.#task = task
  }

  /** The command's last lines when it failed; its output goes to the log as it comes. */
  async attempt(command: BuildCommand): Promise<FailedCommand | undefined> {
    const { output, signal } = this.#task
    const { argv, env = {}, cwd } = command
    const label = labelOf(command)
    await output.build('stdout', [`> ${label}${cwd === undefined ? '' : ` (in ${cwd})`}`])
    const lines: string[] = []
    const process = await this.sandbox.run({ argv, env, ...(cwd === undefined ? {} : { cwd }) })
    const splitters = { stdout: new LineSplitter(), stderr: new LineSplitter(), pty: new LineSplitter() }
    const take = async (stream: 'stdout' | 'stderr', taken: string[]) => {
      lines.push(...taken)
      lines.splice(0, lines.length - keptLines)
      if (taken.length > 0 && !signal.aborted) await output.build(stream, taken)
    }
    for await (const { stream, data } of process.output())
      await take(stream === 'stderr' ? 'stderr' : 'stdout', splitters[stream].push(data))
    await take('stdout', splitters.stdout.end())
    await take('stderr', splitters.stderr.end())
    const exit = await process.exit
    signal.throwIfAborted()
    if (exit.code === 0) return undefined
    // 137 is what the kernel's memory killer leaves; nobody else sends SIGKILL here while the signal is not aborted.
    return { command: label, exitCode: exit.code, lines, outOfMemory: exit.code === 137 }
  }

  async run(command: BuildCommand): Promise<void> {
    const failed = await this.attempt(command)
    if (failed !== undefined) throw buildFailure(failed)
  }

  async capture(layerId: string): Promise<void> {
    await this.#task.provider.captureLayer(this.sandbox.id, layerId, this.#task.fence)
  }
}

export function labelOf({ label, argv }: BuildCommand): string {
  return label ?? argv.join(' ')
}

/** Aborts with the caller's reason, or after `ms` with an error that says so. */
export function withTimeLimit(signal: AbortSignal, ms: number): { signal: AbortSignal } & Disposable {
  const limit = new AbortController()
  const timer = setTimeout(
    () =>
      limit.abort(
        new AppError(
          'build_failed',
          `The build took longer than ${Math.round(ms / 60_000)} minutes and was ended: its log says what it was doing.`,
        ),
      ),
    ms,
  )
  return { signal: AbortSignal.any([signal, limit.signal]), [Symbol.dispose]: () => clearTimeout(timer) }
}
