import { InvalidArchiveError } from './invalid-archive.ts'

/** Bytes needed to tell the format: tar's magic lies at 257. */
export const formatBytes = 263

const foreign: readonly { name: string; magic: readonly number[] }[] = [
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68] },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { name: '7z', magic: [0x37, 0x7a, 0xbc, 0xaf] },
  { name: 'rar', magic: [0x52, 0x61, 0x72, 0x21] },
]

/** Of a first file, of an archive without any, and of one in several parts. */
const zipMagics = ['PK\u0003\u0004', 'PK\u0005\u0006', 'PK\u0007\u0008']

/** Tells gzip, plain tar and zip by their first bytes and refuses the rest by name. */
export function archiveFormat(head: Buffer): 'gzip' | 'tar' | 'zip' {
  if (head.byteLength === 0) throw new InvalidArchiveError('The archive is empty: nothing was sent.')
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  if (zipMagics.includes(head.subarray(0, 4).toString('latin1'))) return 'zip'
  if (head.subarray(257, 262).toString('latin1') === 'ustar') return 'tar'
  const other = foreign.find(({ magic }) => magic.every((byte, at) => head[at] === byte))
  throw new InvalidArchiveError(
    other === undefined
      ? 'This is not a zip, tar or tar.gz archive. Make one with: tar cz .'
      : `This is a ${other.name} archive; send zip or tar.gz. Make one with: tar cz .`,
  )
}
