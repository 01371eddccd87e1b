/** Archives by the sandbox's own tar, running as whoever this process is. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AgentError } from '../agent-error.ts'

/** Extracts below `directory`, made if it is missing. Owners and set-id bits in the archive have no say. */
export async function unpackTar(directory: string, archive: Readable): Promise<void> {
  await mkdir(directory, { recursive: true })
  if (archive.destroyed) throw new AgentError('conflict', 'The archive was broken off.')
  const tar = spawn('tar', ['-x', '-f', '-', '-C', directory, '--no-same-owner', '--no-same-permissions'], {
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  const ended = endOf(tar)
  // No pipeline: it would destroy the sender's connection when tar refuses, and the answer with it.
  archive.pipe(tar.stdin).on('error', () => undefined)
  archive.once('close', () => {
    // A sender that went away before the end; after it the rest is still on its way through the pipe.
    if (!archive.readableEnded) tar.stdin.destroy()
  })
  const { code, lastLine } = await ended
  archive.unpipe(tar.stdin).resume()
  if (code !== 0) throw new AgentError(failureCode(lastLine), `tar: ${lastLine}`)
}

/** Writes what lies below `directory` to `sink`, names relative to it; breaks `sink` off when tar fails. */
export async function packTar(directory: string, sink: Writable): Promise<void> {
  const names = (await readdir(directory)).sort()
  // Named one by one, so that no name begins with "./".
  const tar = spawn('tar', ['-c', '-f', '-', '-C', directory, '--null', '-T', '-'], { stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = endOf(tar)
  try {
    tar.stdin.on('error', () => undefined)
    tar.stdin.end(names.map(name => `${name}\0`).join(''))
    await pipeline(tar.stdout, sink, { end: false })
    const { code, lastLine } = await ended
    // 1: a file changed while it was read, which a living tree may do.
    if (code !== 0 && code !== 1) throw new AgentError(failureCode(lastLine), `tar: ${lastLine}`)
    sink.end()
  } finally {
    tar.kill('SIGKILL')
  }
}

async function endOf(tar: ChildProcess): Promise<{ code: number; lastLine: string }> {
  let tail = ''
  tar.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    tail = (tail + piece).slice(-2000)
  })
  try {
    const [code] = (await once(tar, 'close')) as [number | null]
    const lines = tail.split('\n').filter(line => line !== '' && !/exiting now|Exiting with failure/.test(line))
    return { code: code ?? -1, lastLine: lines.at(-1)?.replace(/^(\S*\/)?tar: /, '') ?? 'no reason given' }
  } catch (cause) {
    return { code: -1, lastLine: `could not be run: ${String(cause)}` }
  }
}

function failureCode(line: string): 'out_of_disk' | 'invalid_request' {
  return /No space left|quota exceeded/i.test(line) ? 'out_of_disk' : 'invalid_request'
}
