import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { SandboxExit, SandboxSpec } from '@coderunner/runtime'
import { readJsonFile, writeJsonFile } from './json-file.ts'

export interface SandboxRecord {
  /** Without the environment, which may hold secrets and is in the processes already. */
  spec: Omit<SandboxSpec, 'env'>
  createdAt: string
  /** One that is not `kept` is removed at the next start: it was being made, or being destroyed. */
  state: 'making' | 'kept' | 'going'
  /** A directory of its own, under a short name: paths of sockets have to be short. */
  socketDir: string
  holder?: number
  exit?: SandboxExit
}

/** A directory per sandbox: `record.json`, `app`, `home`, `tmp`, and the holder's spool and exit. */
export class SandboxRecords {
  #directory: string

  static async open(directory: string): Promise<SandboxRecords> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return new SandboxRecords(directory)
  }

  private constructor(directory: string) {
    this.#directory = directory
  }

  directoryOf(id: string): string {
    return join(this.#directory, id)
  }

  ids(): Promise<string[]> {
    return readdir(this.#directory)
  }

  read(id: string): Promise<SandboxRecord | undefined> {
    return readJsonFile<SandboxRecord>(join(this.directoryOf(id), 'record.json'))
  }

  async write(record: SandboxRecord): Promise<void> {
    await mkdir(this.directoryOf(record.spec.id), { recursive: true, mode: 0o700 })
    await writeJsonFile(join(this.directoryOf(record.spec.id), 'record.json'), record)
  }

  async remove(id: string): Promise<void> {
    const directory = this.directoryOf(id)
    const record = await this.read(id)
    if (record !== undefined) await rm(record.socketDir, { recursive: true, force: true })
    // The record goes last, so that what a crash leaves is still known to be going.
    for (const name of await readdir(directory).catch(() => [])) {
      if (name !== 'record.json') await rm(join(directory, name), { recursive: true, force: true, maxRetries: 3 })
    }
    await rm(directory, { recursive: true, force: true })
  }
}
