import { stat } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { AgentError } from '../agent-error.ts'
import { answerJson, answerNothing, type Exchange, readJson } from '../http-exchange.ts'
import { text } from '../processes/process-order.ts'
import { DirectoryWatch } from './directory-watch.ts'
import type { FileTree } from './file-tree.ts'
import { packTar, unpackTar } from './tar-archive.ts'

/** Requests below /files, answered with the rights of this process. */
export async function handleFiles(exchange: Exchange, tree: FileTree): Promise<void> {
  const { method, path, query, request, response } = exchange
  const subject = query.get('path') ?? ''
  switch (`${method} ${path[1] ?? ''}`) {
    case 'GET content': {
      const { size, content } = await tree.read(subject)
      response.setHeader('content-type', 'application/octet-stream')
      if (size !== undefined) response.setHeader('content-length', size)
      await pipeline(content, response)
      return
    }
    case 'PUT content':
      await tree.write(subject, request, modeOf(query.get('mode')))
      return answerNothing(response)
    case 'GET stat':
      return answerJson(response, await tree.stat(subject))
    case 'GET list':
      return answerJson(response, await tree.list(subject, Number(query.get('depth') ?? 1)))
    case 'POST directories':
      await tree.makeDir(subject)
      return answerNothing(response)
    case 'POST rename': {
      const { from, to } = await readJson(request)
      await tree.rename(text(from, 'from'), text(to, 'to'))
      return answerNothing(response)
    }
    case 'DELETE ':
      await tree.remove(subject)
      return answerNothing(response)
    case 'GET watch':
      return watchDirectory(tree.resolve(subject), query.get('recursive') === 'true', response)
    case 'PUT archive':
      await unpackTar(tree.resolve(subject), request)
      return answerNothing(response)
    case 'GET archive': {
      const directory = tree.resolve(subject)
      if (!(await stat(directory)).isDirectory()) throw new AgentError('invalid_request', `${subject} is no directory.`)
      response.writeHead(200, { 'content-type': 'application/x-tar' })
      await packTar(directory, response)
      return
    }
    default:
      throw new AgentError('not_found', `There is no ${method} ${path.join('/')}.`)
  }
}

function modeOf(value: string | null): number | undefined {
  if (value === null) return undefined
  if (/^[0-7]{1,4}$/.test(value)) return Number.parseInt(value, 8)
  throw new AgentError('invalid_request', 'mode has to be octal digits.')
}

/** Changes that a slow reader has no room for are dropped with the watch: better none than some. */
async function watchDirectory(directory: string, recursive: boolean, response: ServerResponse): Promise<void> {
  const about = await stat(directory)
  if (!about.isDirectory()) throw new AgentError('invalid_request', `${directory} is no directory.`)
  const watch = await DirectoryWatch.start({
    directory,
    recursive,
    onChange: change => {
      if (response.writableLength > 4 * 1024 * 1024) response.destroy()
      else response.write(`${JSON.stringify(change)}\n`)
    },
    onFailure: () => response.destroy(),
  })
  if (response.destroyed) watch[Symbol.dispose]()
  else response.once('close', () => watch[Symbol.dispose]())
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
}
