/** The binary form of netlink messages. Numbers are in the order of the host, which is little-endian on what we run on. */

const NLA_F_NESTED = 0x8000
/** Length, type, flags, sequence number, port. */
export const HEADER_SIZE = 16

export const align = (length: number): number => (length + 3) & ~3

export function attribute(type: number, ...content: readonly Buffer[]): Buffer {
  const data = Buffer.concat(content)
  const buffer = Buffer.alloc(align(4 + data.length))
  buffer.writeUInt16LE(4 + data.length, 0)
  buffer.writeUInt16LE(type, 2)
  data.copy(buffer, 4)
  return buffer
}

/** One that says that its content is attributes: newer parts of the kernel insist on it. */
export const nested = (type: number, ...content: readonly Buffer[]): Buffer =>
  attribute(type | NLA_F_NESTED, ...content)

export const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(value)
  return buffer
}

export const text = (value: string): Buffer => Buffer.from(`${value}\0`)

export const address = (value: string): Buffer => Buffer.from(value.split('.').map(Number))

export function* readMessages(buffer: Buffer): Generator<{ type: number; sequence: number; body: Buffer }> {
  for (let at = 0; at + HEADER_SIZE <= buffer.length; ) {
    const length = buffer.readUInt32LE(at)
    if (length < HEADER_SIZE || at + length > buffer.length) return
    yield {
      type: buffer.readUInt16LE(at + 4),
      sequence: buffer.readUInt32LE(at + 8),
      body: buffer.subarray(at + HEADER_SIZE, at + length),
    }
    at += align(length)
  }
}

export function readAttributes(buffer: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= buffer.length; ) {
    const length = buffer.readUInt16LE(at)
    if (length < 4 || at + length > buffer.length) break
    found.set(buffer.readUInt16LE(at + 2), buffer.subarray(at + 4, at + length))
    at += align(length)
  }
  return found
}
