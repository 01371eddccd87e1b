export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type LogLevel = (typeof logLevels)[number]

/** Where a line came from: what a deployment's process wrote, a build's output, or what CodeRunner says of either. */
export const logSources = ['run', 'build', 'system'] as const
export type LogSource = (typeof logSources)[number]

/** One line of a project's log. `cursor` grows by one a record within a project and is never used twice. */
export interface LogRecord {
  cursor: number
  /** Milliseconds since 1970, UTC. */
  time: number
  source: LogSource
  deploymentId: string
  /** The instance (its process type and number, such as `web.1`), or empty for build and system lines. */
  instance: string
  stream: 'stdout' | 'stderr'
  level: LogLevel
  message: string
}
