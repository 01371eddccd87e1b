import { AppError } from '@coderunner/contract'
import { InvalidArchiveError } from './invalid-archive.ts'

export interface ArchiveLimits {
  entries: number
  unpackedBytes: number
  packedBytes: number
  /** Unpacked against packed size, looked at from `ratioFromBytes` unpacked on. */
  ratio: number
  ratioFromBytes: number
}

const mb = 1024 * 1024
export const archiveLimits: ArchiveLimits = {
  entries: 100_000,
  unpackedBytes: 512 * mb,
  packedBytes: 512 * mb,
  ratio: 200,
  ratioFromBytes: 10 * mb,
}

/** Throws when there is too much, or when so much comes out of so little that it can only be meant as a bomb. */
export function requireModestSize(unpacked: number, packed: number, limits: ArchiveLimits): void {
  const { unpackedBytes, ratio, ratioFromBytes } = limits
  if (unpacked > unpackedBytes) throw tooLarge('What the archive unpacks to', unpackedBytes)
  if (unpacked > ratioFromBytes && unpacked > packed * ratio)
    throw new InvalidArchiveError(
      `The archive unpacks to more than ${ratio} times its size, as a decompression bomb does.`,
    )
}

export function tooLarge(what: string, bytes: number): AppError {
  return new AppError('too_large', `${what} is larger than ${Math.round(bytes / mb)} MB.`)
}
