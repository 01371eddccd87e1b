/** A whole CodeRunner of a test's own: coderunnerd with everything under it, in a data directory that is removed afterwards. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const repository = join(import.meta.dirname, '..')

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

export class CodeRunner implements AsyncDisposable {
  apiUrl = ''
  appsPort = 0
  readonly dataDir: string
  /** What coderunnerd wrote to stderr, for the failure message of a test. */
  stderr = ''
  token = ''
  #daemon: ChildProcess | undefined
  #env: Record<string, string>

  private constructor(dataDir: string, env: Record<string, string>) {
    this.dataDir = dataDir
    this.#env = env
  }

  static async start(env: Record<string, string> = {}): Promise<CodeRunner> {
    const coderunner = new CodeRunner(await mkdtemp(join(tmpdir(), 'coderunner-test-')), env)
    try {
      await coderunner.boot()
      await coderunner.register()
    } catch (error) {
      await coderunner[Symbol.asyncDispose]()
      throw error
    }
    return coderunner
  }

  get pid(): number {
    if (this.#daemon?.pid === undefined) throw new Error('coderunnerd is not running')
    return this.#daemon.pid
  }

  /** Starts coderunnerd and waits until it says where the API is. Ports stay the same over restarts. */
  async boot(): Promise<void> {
    const daemon = spawn(process.execPath, [join(repository, 'apps/coderunnerd/src/main.ts')], {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        CODERUNNER_DATA_DIR: this.dataDir,
        CODERUNNER_PORT: this.apiUrl === '' ? '0' : new URL(this.apiUrl).port,
        CODERUNNER_APPS_PORT: String(this.appsPort),
        CODERUNNER_ON_EXIT: 'stop',
        ...this.#env,
      },
    })
    this.#daemon = daemon
    daemon.stderr.on('data', (data: Buffer) => {
      this.stderr = (this.stderr + data.toString()).slice(-64_000)
    })
    const lines = createInterface({ input: daemon.stdout })
    const ended = once(daemon, 'exit').then(([code]) => {
      throw new Error(`coderunnerd ended with ${String(code)} before it was ready:\n${this.stderr}`)
    })
    const ready = (async () => {
      for await (const line of lines) {
        const api = /^API\s+(http\S+)/.exec(line)
        if (api?.[1] !== undefined) this.apiUrl = api[1]
        const apps = /^apps\s+http\S*:(\d+)/.exec(line)
        if (apps?.[1] !== undefined) this.appsPort = Number(apps[1])
        if (this.apiUrl === '' || apps === null) continue
        daemon.stdout.resume()
        return
      }
      await ended
    })()
    await Promise.race([ready, ended])
    ended.catch(() => undefined) // Its end later on is the business of whoever ends it.
  }

  async register(email = 'owner@example.org', password = 'correct horse battery'): Promise<string> {
    await this.api('POST', '/api/auth/register', { email, password })
    const { token } = (await this.api('POST', '/api/auth/login', { email, password })) as { token: string }
    this.token ||= token
    return token
  }

  async api(method: string, path: string, body?: unknown, token = this.token): Promise<unknown> {
    const response = await fetch(this.apiUrl + path, {
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }

  /** Asks an application through the ingress. Names below localhost do not resolve in Node, so the Host header says which. */
  async visit(url: string, path = '/', headers: Record<string, string> = {}): Promise<Answer> {
    const { host } = new URL(url)
    const req = request({ host: '127.0.0.1', port: this.appsPort, path, headers: { host, ...headers }, agent: false })
    req.end()
    const [response] = (await once(req, 'response')) as [IncomingMessage]
    let body = ''
    for await (const chunk of response) body += String(chunk)
    return { status: response.statusCode ?? 0, headers: response.headers, body }
  }

  async cli(
    args: string[],
    options: { cwd?: string; input?: string } = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [join(repository, 'apps/cli/bin/coderunner.js'), ...args], {
      cwd: options.cwd ?? repository,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        CODERUNNER_URL: this.apiUrl,
        CODERUNNER_TOKEN: this.token,
        XDG_CONFIG_HOME: this.dataDir,
        NO_COLOR: '1',
      },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()))
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
    child.stdin.end(options.input ?? '')
    const [code] = (await once(child, 'close')) as [number | null]
    return { code: code ?? -1, stdout, stderr }
  }

  /** Deploys a folder by the CLI and gives its URL; the CLI's own words are in the error when it fails. */
  async deploy(folder: string, project: string, ...more: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.cli(['deploy', folder, '--project', project, ...more])
    if (code !== 0) throw new Error(`deploy of ${folder} ended with ${code}:\n${stderr}\n${this.stderr}`)
    return stdout.trim()
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const daemon = this.#daemon
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return
    const ended = once(daemon, 'exit')
    daemon.kill(signal)
    await ended
  }

  /** Waits for the end of a coderunnerd that somebody killed. */
  async gone(): Promise<void> {
    const daemon = this.#daemon
    if (daemon !== undefined && daemon.exitCode === null && daemon.signalCode === null) await once(daemon, 'exit')
  }

  /** Starts a stopped one again with other settings. */
  async restartWith(env: Record<string, string>): Promise<void> {
    this.#env = { ...this.#env, ...env }
    await this.boot()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // After a kill -9 the sandboxes still run: only a new coderunnerd can end them.
    if (this.#daemon?.signalCode === 'SIGKILL') await this.boot()
    await this.stop()
    await rm(this.dataDir, { recursive: true, force: true })
  }
}
