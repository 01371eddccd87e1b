import type { LogLevel, LogRecord } from '@coderunner/contract'
import { levelOfLine } from '../logs/level.ts'

/** What this slice needs of the log store. */
export interface LogSink {
  append(projectId: string, entries: readonly Omit<LogRecord, 'cursor'>[]): Promise<number>
  query(
    projectId: string,
    search: { cursor?: number; lines?: number; since?: number; source?: 'run'; deploymentId?: string },
  ): Promise<{ records: LogRecord[]; cursor: number }>
}

/** Writes into the project's log on behalf of one deployment. */
export class DeploymentLog {
  readonly #logs: LogSink
  readonly #projectId: string
  readonly #deploymentId: string

  constructor(logs: LogSink, projectId: string, deploymentId: string) {
    this.#logs = logs
    this.#projectId = projectId
    this.#deploymentId = deploymentId
  }

  /** What CodeRunner itself has to say. */
  async system(message: string, level: LogLevel = 'info', instance = ''): Promise<void> {
    const time = Date.now()
    const lines = message.split('\n')
    await this.#append(
      lines.map(line => ({ source: 'system', stream: 'stdout', level, message: line, instance, time })),
    )
  }

  async build(stream: 'stdout' | 'stderr', lines: readonly string[]): Promise<void> {
    const time = Date.now()
    await this.#append(
      lines.map(message => ({ source: 'build', stream, level: levelOfLine(message), message, instance: '', time })),
    )
  }

  async run(instance: string, lines: readonly { time: number; stream: 'stdout' | 'stderr'; text: string }[]) {
    await this.#append(
      lines.map(({ time, stream, text }) => ({
        source: 'run',
        stream,
        level: levelOfLine(text),
        message: text,
        instance,
        time,
      })),
    )
  }

  /** Lines of one instance from a moment on, as far as a page goes. */
  async since(instance: string, time: number): Promise<LogRecord[]> {
    const { records } = await this.#logs.query(this.#projectId, {
      lines: 10_000,
      since: time,
      source: 'run',
      deploymentId: this.#deploymentId,
    })
    return records.filter(record => record.instance === instance)
  }

  async #append(entries: readonly Omit<LogRecord, 'cursor' | 'deploymentId'>[]): Promise<void> {
    if (entries.length === 0) return
    await this.#logs.append(
      this.#projectId,
      entries.map(entry => ({ ...entry, deploymentId: this.#deploymentId })),
    )
  }
}
