import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { fileURLToPath } from 'node:url'
import { AgentError } from '../agent-error.ts'
import type { Exchange } from '../http-exchange.ts'
import { Agent, request as httpRequest } from '../http-module.ts'

/** Starts the file worker when it is first needed, again when it has died, and hands requests on to it. */
export class FileWorkerLink {
  #socketPath: string
  #arguments: readonly string[]
  #searchPath: string
  #connections = new Agent({ keepAlive: true })
  #worker: Promise<ChildProcess> | undefined

  constructor(options: { socketPath: string; appDir: string; ids: { uid: number; gid: number }; searchPath: string }) {
    this.#socketPath = options.socketPath
    this.#searchPath = options.searchPath
    const { uid, gid } = options.ids
    this.#arguments = [options.socketPath, options.appDir, String(uid), String(gid)]
  }

  async handle({ request, response }: Exchange): Promise<void> {
    this.#worker ??= this.#start()
    await this.#worker
    const onward = httpRequest({
      socketPath: this.#socketPath,
      agent: this.#connections,
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      headers: request.headers,
    })
    response.once('close', () => onward.destroy())
    request.pipe(onward)
    const answer = await once(onward, 'response').catch((cause: unknown) => {
      throw new AgentError('conflict', 'The file worker has ended during the request.', { cause })
    })
    const [reply] = answer as [IncomingMessage]
    onward.on('error', () => response.destroy())
    reply.once('aborted', () => response.destroy())
    response.writeHead(reply.statusCode ?? 500, reply.headers)
    response.flushHeaders()
    reply.pipe(response)
  }

  async #start(): Promise<ChildProcess> {
    await rm(this.#socketPath, { force: true })
    const entry = fileURLToPath(new URL('./file-worker.ts', import.meta.url))
    const worker = spawn(process.execPath, [entry, ...this.#arguments], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: this.#searchPath },
    })
    worker.once('exit', () => {
      this.#worker = undefined
    })
    const ended = once(worker, 'exit').then(() => {
      throw new AgentError('internal', 'The file worker did not start.')
    })
    await Promise.race([once(worker.stdout, 'data'), ended])
    ended.catch(() => undefined)
    return worker
  }
}
