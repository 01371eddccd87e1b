import type { ServerResponse } from 'node:http'
import { AgentError } from '../agent-error.ts'
import { exitKeptMs, signals } from '../agent-wire.ts'
import type { AgentConfig } from '../config.ts'
import { answerJson, answerNothing, type Exchange, readJson } from '../http-exchange.ts'
import { AgentProcess } from './agent-process.ts'
import { oneOf, readOrder, sizeOf } from './process-order.ts'

/** The processes started here, and the requests about them. */
export class ProcessTable {
  #config: AgentConfig
  #processes = new Map<number, AgentProcess>()

  constructor(config: AgentConfig) {
    this.#config = config
  }

  async handle(exchange: Exchange): Promise<void> {
    const { method, path, request, response } = exchange
    const [, pid, part] = path
    if (pid === undefined && method === 'GET') {
      const living = [...this.#processes.values()].filter(process => !process.ended)
      answerJson(
        response,
        living.map(process => process.listing),
      )
      return
    }
    if (pid === undefined && method === 'POST') {
      await this.#start(exchange)
      return
    }
    const process = this.#find(pid)
    switch (`${method} ${part}`) {
      case 'GET output':
        beginStream(response)
        process.attach(response)
        return
      case 'POST stdin':
        for await (const chunk of request as AsyncIterable<Buffer>) await process.write(chunk)
        return answerNothing(response)
      case 'DELETE stdin':
        process.closeStdin()
        return answerNothing(response)
      case 'PUT size':
        process.resize(sizeOf(await readJson(request)))
        return answerNothing(response)
      case 'POST signal':
        await process.signal(oneOf((await readJson(request))['signal'], signals, 'signal'))
        return answerNothing(response)
      default:
        throw new AgentError('not_found', `There is no ${method} ${path.join('/')}.`)
    }
  }

  /** SIGTERM to all of them. */
  async stop(): Promise<void> {
    const living = [...this.#processes.values()].filter(process => !process.ended)
    await Promise.allSettled(living.map(process => process.signal('SIGTERM')))
  }

  async #start({ request, response }: Exchange): Promise<void> {
    const order = await readOrder(await readJson(request), this.#config)
    // The headers go with the first frame: until then a failure to start can still be an answer of its own.
    response.setHeader('content-type', 'application/x-ndjson')
    const process = await AgentProcess.start(order, response, ended => this.#forget(ended))
    this.#processes.set(process.listing.pid, process)
  }

  #forget(process: AgentProcess): void {
    const timer = setTimeout(() => {
      if (this.#processes.get(process.listing.pid) === process) this.#processes.delete(process.listing.pid)
    }, exitKeptMs)
    timer.unref()
  }

  #find(pid: string | undefined): AgentProcess {
    const process = this.#processes.get(Number(pid))
    if (process === undefined) throw new AgentError('not_found', `There is no process ${pid}.`)
    return process
  }
}

function beginStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
}
