import { randomUUID } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from './failure.ts'

export interface Credential {
  token: string
  email?: string
  /** A session ends at the server when the user logs out; an API token is only forgotten here. */
  kind: 'session' | 'token'
}

interface CredentialFile {
  servers: Record<string, Credential>
}

/** Tokens by server, in a file that only its owner can read. Replaced as a whole, so that a reader never sees half. */
export class CredentialStore {
  readonly file: string

  constructor(file: string) {
    this.file = file
  }

  async find(url: string): Promise<Credential | undefined> {
    const { servers } = await this.#read()
    return Object.hasOwn(servers, url) ? servers[url] : undefined
  }

  async put(url: string, credential: Credential): Promise<void> {
    const { servers } = await this.#read()
    await this.#write({ servers: { ...servers, [url]: credential } })
  }

  async remove(url: string): Promise<void> {
    const { servers } = await this.#read()
    if (!Object.hasOwn(servers, url)) return
    const { [url]: _, ...rest } = servers
    await this.#write({ servers: rest })
  }

  async #read(): Promise<CredentialFile> {
    let text: string
    try {
      text = await readFile(this.file, 'utf8')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { servers: {} }
      throw new Failure('credentials_unreadable', `${this.file} cannot be read: ${(error as Error).message}`)
    }
    try {
      const value = JSON.parse(text) as Partial<CredentialFile> | null
      if (typeof value?.servers === 'object' && value.servers !== null) return { servers: value.servers }
    } catch {
      // Told below: the file's content stays out of the message, it may hold a token.
    }
    throw new Failure('credentials_unreadable', `${this.file} is damaged: remove it and log in again.`)
  }

  async #write(content: CredentialFile): Promise<void> {
    const directory = dirname(this.file)
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await chmod(directory, 0o700)
    const draft = `${this.file}.${randomUUID()}`
    try {
      const handle = await open(draft, 'wx', 0o600)
      try {
        await handle.writeFile(`${JSON.stringify(content, null, 2)}\n`)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(draft, this.file)
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
  }
}
