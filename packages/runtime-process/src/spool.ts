/**
 * Output on disk: segments of whole lines in one directory, each named by the offset of its first byte in the whole.
 * A line is `<milliseconds> <o|e> <text>`. What has been acknowledged goes segment by segment.
 */
import { readdir } from 'node:fs/promises'

export const segmentBytes = 4 * 1024 * 1024
/** With so many segments unacknowledged the program is made to wait. */
export const mostSegments = 64
/** A longer line is cut. */
export const lineBytes = 64 * 1024

export function segmentName(start: number): string {
  return `${String(start).padStart(16, '0')}.log`
}

/** Where each segment starts, lowest first. */
export async function segmentStarts(directory: string): Promise<number[]> {
  const names = await readdir(directory)
  return names
    .filter(name => name.endsWith('.log'))
    .map(name => Number.parseInt(name, 10))
    .sort((a, b) => a - b)
}
