/** A machine whose disk is full fails everybody: what would need disk is refused while there is still some. */
import { statfs } from 'node:fs/promises'
import { AppError } from '@coderunner/contract'

const RESERVE_BYTES = 2 * 1024 ** 3
const RESERVE_SHARE = 0.1

/** @throws AppError `out_of_disk` when less than 10 % or 2 GB, whichever is smaller, is free below `directory`. */
export async function requireDiskSpace(directory: string): Promise<void> {
  const { blocks, bavail, bsize } = await statfs(directory)
  const reserve = Math.min(RESERVE_BYTES, blocks * bsize * RESERVE_SHARE)
  const free = bavail * bsize
  if (free >= reserve) return
  const megabytes = (bytes: number): number => Math.floor(bytes / 1024 ** 2)
  throw new AppError(
    'out_of_disk',
    `Only ${megabytes(free)} MB are free on the disk of ${directory}, and ${megabytes(reserve)} MB are kept in reserve: remove deployments that are not needed, or make room.`,
  )
}
