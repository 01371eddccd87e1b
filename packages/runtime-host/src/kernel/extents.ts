/** What is written in a sparse file. */
import { readSync } from 'node:fs'
import { call, KernelError } from './libc.ts'

export interface Extent {
  offset: number
  data: Buffer
}

const SEEK_DATA = 3
const SEEK_HOLE = 4

/** For small ones: all of it is read. Holes are left out as far as the file system knows of them. */
export function dataExtents(fd: number): Extent[] {
  const extents: Extent[] = []
  for (let end = 0; ; ) {
    let offset: number
    try {
      offset = call('lseek', 'find data in a file', fd, end, SEEK_DATA)
    } catch (error) {
      // Behind the last data.
      if (error instanceof KernelError && error.code === 'ENXIO') return extents
      throw error
    }
    end = call('lseek', 'find a hole in a file', fd, offset, SEEK_HOLE)
    const data = Buffer.alloc(end - offset)
    if (readSync(fd, data, 0, data.length, offset) !== data.length) throw new Error('The file became shorter.')
    extents.push({ offset, data })
  }
}
