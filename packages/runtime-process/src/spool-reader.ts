import { type FSWatcher, watch } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { OutputChunk, OutputLine } from '@coderunner/runtime'
import { lineBytes, segmentName, segmentStarts } from './spool.ts'

const readBytes = 4 * lineBytes

/** Lines from `offset`, then as they come, until `ended` has settled and nothing is left. */
export async function* readSpool(options: {
  directory: string
  offset: number
  signal: AbortSignal
  ended: Promise<unknown>
}): AsyncGenerator<OutputChunk> {
  const { directory, signal, ended } = options
  if (signal.aborted) return
  let changed = Promise.withResolvers<void>()
  let over = false
  const wake = (): void => changed.resolve()
  void ended.then(() => {
    over = true
    wake()
  })
  signal.addEventListener('abort', wake)
  // Watch, then read, then wait: nothing written meanwhile is missed.
  const watcher: FSWatcher = watch(directory, wake)
  watcher.on('error', wake)
  try {
    for (let at = options.offset; !signal.aborted; ) {
      const last = over
      changed = Promise.withResolvers<void>()
      const chunk = await readChunk(directory, at)
      if (chunk !== undefined) {
        at = chunk.offset
        yield chunk
      } else if (last) return
      else if (!over) await changed.promise
    }
  } finally {
    watcher.close()
    signal.removeEventListener('abort', wake)
  }
}

/** Lets go of the segments that end at or before `offset`. */
export async function acknowledgeSpool(directory: string, offset: number): Promise<void> {
  const starts = await segmentStarts(directory)
  for (const [index, start] of starts.entries()) {
    const next = starts[index + 1]
    if (next === undefined || next > offset) return
    await rm(join(directory, segmentName(start)), { force: true })
  }
}

async function readChunk(directory: string, offset: number): Promise<OutputChunk | undefined> {
  const starts = await segmentStarts(directory)
  const start = starts.findLast(start => start <= offset) ?? starts[0]
  if (start === undefined) return undefined
  // What lies before the first segment was acknowledged.
  const from = Math.max(start, offset)
  const file = await open(join(directory, segmentName(start)), 'r').catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const buffer = Buffer.alloc(readBytes)
    const { bytesRead } = await file.read(buffer, 0, readBytes, from - start)
    const length = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1
    if (length === 0) return undefined
    const lines = buffer.toString('utf8', 0, length - 1).split('\n')
    return { lines: lines.map(lineOf), offset: from + length }
  } finally {
    await file.close()
  }
}

function lineOf(line: string): OutputLine {
  const space = line.indexOf(' ')
  const stream = line[space + 1] === 'e' ? 'stderr' : 'stdout'
  return { time: Number(line.slice(0, space)), stream, text: line.slice(space + 3) }
}
