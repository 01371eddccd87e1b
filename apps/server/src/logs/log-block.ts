/**
 * What the sparse index says of one block (about 64 KB) of a segment: enough to skip it without reading it. A line of
 * the `.index` file per closed block, eight numbers; the file can always be made again from the segment.
 */
import { type LogEntry, levelRank, sourceRank } from './log-line.ts'

export interface LogBlock {
  offset: number
  bytes: number
  firstCursor: number
  records: number
  minTime: number
  maxTime: number
  /** Bit n: a record of level (source) number n is in the block. */
  levels: number
  sources: number
  /** Bit `deploymentBit(id)`: records of that deployment may be in the block. */
  deployments: number
}

export const blockChars = 64 * 1024

export function emptyBlock(offset: number, firstCursor: number): LogBlock {
  return {
    offset,
    bytes: 0,
    firstCursor,
    records: 0,
    minTime: Number.MAX_SAFE_INTEGER,
    maxTime: 0,
    levels: 0,
    sources: 0,
    deployments: 0,
  }
}

export function countIn(block: LogBlock, entry: Pick<LogEntry, 'time' | 'level' | 'source' | 'deploymentId'>): void {
  block.records++
  if (entry.time < block.minTime) block.minTime = entry.time
  if (entry.time > block.maxTime) block.maxTime = entry.time
  block.levels |= 1 << levelRank[entry.level]
  block.sources |= 1 << sourceRank[entry.source]
  block.deployments |= 1 << deploymentBit(entry.deploymentId)
}

let latest = { id: '', bit: 0 }
export function deploymentBit(id: string): number {
  if (latest.id === id) return latest.bit
  let hash = 0
  for (let i = 0; i < id.length; i++) hash = (hash * 31 + id.charCodeAt(i)) | 0
  latest = { id, bit: Math.abs(hash) % 31 }
  return latest.bit
}

export function encodeBlock(block: LogBlock): string {
  const { offset, bytes, firstCursor, records, minTime, maxTime, levels, sources, deployments } = block
  return `${[offset, bytes, firstCursor, records, minTime, maxTime, levels, sources, deployments].join(' ')}\n`
}

/** The blocks of an index file as far as they join each other; the rest of a damaged file is not believed. */
export function decodeBlocks(text: string, firstCursor: number): LogBlock[] {
  const blocks: LogBlock[] = []
  let end = 0
  let cursor = firstCursor
  for (const line of text.split('\n').slice(0, -1)) {
    const numbers = line.split(' ').map(Number)
    if (numbers.length !== 9 || !numbers.every(Number.isSafeInteger)) break
    const [offset, bytes, first, records, minTime, maxTime, levels, sources, deployments] = numbers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    if (offset !== end || first !== cursor || bytes <= 0 || records <= 0) break
    blocks.push({ offset, bytes, firstCursor: first, records, minTime, maxTime, levels, sources, deployments })
    end += bytes
    cursor += records
  }
  return blocks
}
