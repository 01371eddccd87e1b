/** A record on disk for every sandbox: what has to be known to adopt it, or to clean up after it. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { SandboxExit, SandboxSpec } from '@coderunner/runtime'
import { type HostPaths, sandboxPaths } from './instance.ts'
import type { ProcessIdentity } from './process-identity.ts'

export interface SandboxRecord {
  /** Its environment, which may hold secrets and is needed once only, is left out. */
  spec: SandboxSpec
  slot: number
  createdAt: number
  bootId: string
  /** Absent while the sandbox is being made: such a one is removed at the next start. */
  running?: { main: ProcessIdentity; conmon: ProcessIdentity }
  exit?: SandboxExit
}

export class SandboxStore {
  readonly #paths: HostPaths

  constructor(paths: HostPaths) {
    this.#paths = paths
  }

  write(record: SandboxRecord): void {
    const { directory, record: path } = sandboxPaths(this.#paths, record.spec.id)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 })
    renameSync(`${path}.new`, path)
  }

  /** Names of everything that has a directory, whether its record can be read or not. */
  names(): string[] {
    return readdirSync(this.#paths.sandboxes)
  }

  /** Undefined when there is none, or none that was written whole. */
  read(id: string): SandboxRecord | undefined {
    try {
      return JSON.parse(readFileSync(sandboxPaths(this.#paths, id).record, 'utf8')) as SandboxRecord
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}
