import type { SandboxExit } from '@coderunner/runtime'

/** What the holder reads from its stdin. */
export interface HolderJob {
  directory: string
  socketPath: string
  argv: readonly string[]
  cwd: string
  env: Readonly<Record<string, string>>
}

/** In every program's environment: how a sandbox's processes are found. */
export const marker = 'CODERUNNER_SANDBOX_ID'

export const spoolName = 'spool'
/** Written whole when the program has ended and its output is on disk. */
export const exitName = 'exit.json'

export type HolderExit = Pick<SandboxExit, 'code'>
