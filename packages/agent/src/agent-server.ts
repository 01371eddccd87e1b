import { once } from 'node:events'
import { rename, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { AgentError } from './agent-error.ts'
import type { AgentConfig } from './config.ts'
import { handleFiles } from './files/file-routes.ts'
import { FileTree } from './files/file-tree.ts'
import { FileWorkerLink } from './files/file-worker-link.ts'
import { answerNothing, createExchangeServer, type Exchange } from './http-exchange.ts'
import { ProcessTable } from './processes/process-table.ts'

/**
 * The agent: starts programs and handles files on request. A root agent starts programs as the user, or as root when
 * asked, and leaves every file operation to a worker that is the user for good (`files/file-worker.ts`): no root process
 * walks a tree that the user can change under it. It needs CAP_SETUID, CAP_SETGID and CAP_KILL. An agent that is not
 * root does everything as itself. Its socket is its owner's alone: who may connect may run anything.
 */
export class AgentServer implements AsyncDisposable {
  #server: Server
  #processes: ProcessTable

  static async start(config: AgentConfig): Promise<AgentServer> {
    const processes = new ProcessTable(config)
    const files = fileHandler(config)
    const server = createExchangeServer(async exchange => {
      const [section] = exchange.path
      if (section === 'processes') await processes.handle(exchange)
      else if (section === 'files') await files(exchange)
      else if (section === 'health') answerNothing(exchange.response)
      else throw new AgentError('not_found', `There is no ${exchange.method} /${exchange.path.join('/')}.`)
    })
    const unready = `${config.socketPath}.new`
    await rm(unready, { force: true })
    const umask = process.umask(0o077)
    try {
      server.listen(unready)
      await once(server, 'listening')
    } finally {
      process.umask(umask)
    }
    // The name appears when the socket answers, so that it can be waited for.
    await rename(unready, config.socketPath)
    return new AgentServer(server, processes)
  }

  private constructor(server: Server, processes: ProcessTable) {
    this.#server = server
    this.#processes = processes
  }

  /** Takes no more requests and asks every program to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    await this.#processes.stop()
  }
}

function fileHandler(config: AgentConfig): (exchange: Exchange) => Promise<void> {
  const { ids } = config.user
  if (ids === undefined) {
    const tree = new FileTree(config.appDir)
    return exchange => handleFiles(exchange, tree)
  }
  const worker = new FileWorkerLink({
    socketPath: `${config.socketPath}.files`,
    appDir: config.appDir,
    ids,
    searchPath: config.env['PATH'] ?? '',
  })
  return exchange => worker.handle(exchange)
}
