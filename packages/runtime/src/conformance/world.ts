import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { newId } from '@coderunner/contract'
import { NotSupportedError } from '../errors.ts'
import type {
  Fence,
  Limits,
  OutputLine,
  ProcessExit,
  ProcessSpec,
  Sandbox,
  SandboxProvider,
  SandboxSpec,
} from '../sandbox.ts'
import type { ConformancePrograms } from './programs.ts'

export interface ProviderUnderTest {
  provider: SandboxProvider
  /** Ends the provider as a crash or an update would, sandboxes running on, and gives the one that comes after it. */
  restart?: () => Promise<SandboxProvider>
  dispose(): Promise<void>
}

/** What the tests of one provider share: the provider, and ways to make, run and read sandboxes. */
export class ConformanceWorld {
  readonly programs: ConformancePrograms
  readonly fence: Fence = { key: newId(), epoch: 2 }
  #made: ProviderUnderTest

  constructor(made: ProviderUnderTest, programs: ConformancePrograms) {
    this.#made = made
    this.programs = programs
  }

  get provider(): SandboxProvider {
    return this.#made.provider
  }

  get canRestart(): boolean {
    return this.#made.restart !== undefined
  }

  async restart(): Promise<void> {
    assert.ok(this.#made.restart)
    this.#made.provider = await this.#made.restart()
  }

  spec(rest: Partial<SandboxSpec> = {}): SandboxSpec {
    const limits: Limits = { memoryMb: 256, cpus: 1, pids: 128, diskMb: 128 }
    return {
      id: newId(),
      group: 'conformance',
      labels: { purpose: 'conformance' },
      template: 'node',
      layers: [],
      limits,
      env: { PORT: '3000' },
      main: { kind: 'agent' },
      network: { egress: 'none' },
      ...rest,
    }
  }

  create(rest: Partial<SandboxSpec> = {}): Promise<Sandbox> {
    return this.provider.create(this.spec(rest), this.fence)
  }

  command(argv: readonly string[], rest: Partial<SandboxSpec> = {}): Promise<Sandbox> {
    return this.create({ main: { kind: 'command', argv }, ...rest })
  }

  /** Every sandbox and layer goes; what remains is a failure of the provider. */
  async clear(): Promise<void> {
    for (const { id } of await this.provider.list()) await (await this.provider.get(id))?.destroy(this.fence)
    assert.deepEqual(await this.provider.list(), [])
    for (const { id } of await this.provider.listLayers()) await this.provider.removeLayer(id)
    assert.deepEqual(await this.provider.listLayers(), [])
  }
}

export interface Ran {
  stdout: string
  stderr: string
  pty: string
  exit: ProcessExit
}

export async function run(sandbox: Sandbox, argv: readonly string[], rest: Partial<ProcessSpec> = {}): Promise<Ran> {
  const process = await sandbox.run({ argv, ...rest })
  const pieces: Record<'stdout' | 'stderr' | 'pty', Buffer[]> = { stdout: [], stderr: [], pty: [] }
  for await (const { stream, data } of process.output()) pieces[stream].push(data)
  const text = (stream: keyof typeof pieces): string => Buffer.concat(pieces[stream]).toString()
  return { stdout: text('stdout'), stderr: text('stderr'), pty: text('pty'), exit: await process.exit }
}

/** Lines of the main process from `offset`, until `enough` says so or the output ends; and where they stopped. */
export async function readOutput(
  sandbox: Sandbox,
  offset = 0,
  enough: (lines: OutputLine[]) => boolean = () => false,
): Promise<{ lines: OutputLine[]; offset: number }> {
  const stop = new AbortController()
  const lines: OutputLine[] = []
  let reached = offset
  for await (const chunk of sandbox.output({ offset, signal: stop.signal })) {
    assert.ok(chunk.offset > reached, 'the offset moves on')
    lines.push(...chunk.lines)
    reached = chunk.offset
    if (enough(lines)) break
  }
  stop.abort()
  return { lines, offset: reached }
}

export function textOf(lines: readonly OutputLine[], stream: 'stdout' | 'stderr'): string[] {
  return lines.filter(line => line.stream === stream).map(line => line.text)
}

export async function saying(sandbox: Sandbox, text: string): Promise<number> {
  const { offset } = await readOutput(sandbox, 0, lines => lines.some(line => line.text === text))
  return offset
}

export function skip(t: TestContext, why: string): void {
  t.skip(why)
}

export const isNotSupported = (error: unknown): boolean => error instanceof NotSupportedError
