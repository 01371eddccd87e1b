import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, rm, watch } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { AgentClient } from './agent-client.ts'

/** A real agent in a directory of its own, for tests. */
export class TestAgent implements AsyncDisposable {
  readonly client: AgentClient
  readonly directory: string
  readonly appDir: string
  readonly bootMs: number
  #process: ChildProcess
  #pool: Pool

  static async start(user: 'self' | 'user'): Promise<TestAgent> {
    const directory = await mkdtemp(join(tmpdir(), 'cr-agent-'))
    await chmod(directory, 0o755)
    const appDir = join(directory, 'app')
    await mkdir(appDir)
    if (user === 'user') await chown(appDir, 1000, 1000)
    const socketPath = join(directory, 'agent.sock')
    const appeared = socketIn(directory, socketPath)
    const begun = performance.now()
    const child = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url))], {
      env: {
        CR_AGENT_SOCKET: socketPath,
        CR_APP_DIR: appDir,
        CR_AGENT_USER: user,
        CR_HOME: directory,
        CR_SANDBOX_ENV: JSON.stringify({ GREETING: 'hello' }),
      },
      stdio: 'inherit',
    })
    await appeared
    return new TestAgent({ directory, appDir, child, socketPath, bootMs: performance.now() - begun })
  }

  private constructor(parts: {
    directory: string
    appDir: string
    child: ChildProcess
    socketPath: string
    bootMs: number
  }) {
    this.directory = parts.directory
    this.appDir = parts.appDir
    this.bootMs = parts.bootMs
    this.#process = parts.child
    this.#pool = new Pool('http://agent', { connect: { socketPath: parts.socketPath } })
    this.client = new AgentClient({ dispatcher: this.#pool, prefix: '' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy()
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await ended
    await rm(this.directory, { recursive: true, force: true })
  }
}

async function socketIn(directory: string, socketPath: string): Promise<void> {
  for await (const { filename } of watch(directory)) {
    if (filename === basename(socketPath)) return
  }
}
