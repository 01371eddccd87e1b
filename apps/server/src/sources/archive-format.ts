import { InvalidArchiveError } from './invalid-archive.ts'

/** Bytes needed to tell the format: tar's magic lies at 257. */
export const formatBytes = 263

const foreign: readonly { name: string; magic: readonly number[] }[] = [
  { name: 'zip', magic: [0x50, 0x4b] },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68] },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { name: '7z', magic: [0x37, 0x7a, 0xbc, 0xaf] },
  { name: 'rar', magic: [0x52, 0x61, 0x72, 0x21] },
]

/** Tells gzip and plain tar by their first bytes and refuses the rest by name. */
export function archiveFormat(head: Buffer): 'gzip' | 'tar' {
  if (head.byteLength === 0) throw new InvalidArchiveError('The archive is empty: nothing was sent.')
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  if (head.subarray(257, 262).toString('latin1') === 'ustar') return 'tar'
  const other = foreign.find(({ magic }) => magic.every((byte, at) => head[at] === byte))
  throw new InvalidArchiveError(
    other === undefined
      ? 'This is not a tar or tar.gz archive. Make one with: tar cz .'
      : `This is a ${other.name} archive; send tar.gz. Make one with: tar cz .`,
  )
}
