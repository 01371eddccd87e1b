import { outputChunkBytes } from '../agent-wire.ts'

/** Cuts a byte stream into bounded pieces, none of which ends within a UTF-8 character. */
export class Utf8Cutter {
  #rest: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): Buffer[] {
    let left = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const pieces: Buffer[] = []
    for (;;) {
      const end = completeLength(left.subarray(0, outputChunkBytes))
      if (end === 0) break
      pieces.push(left.subarray(0, end))
      left = left.subarray(end)
    }
    this.#rest = left
    return pieces
  }

  /** What is left at the end of the stream, a broken character at most. */
  flush(): Buffer[] {
    const rest = this.#rest
    this.#rest = Buffer.alloc(0)
    return rest.length === 0 ? [] : [rest]
  }
}

/** Length without a character that has begun but not ended. Bytes that are no UTF-8 count as complete. */
function completeLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if ((byte & 0b1100_0000) === 0b1000_0000) continue
    const needed = byte >= 0b1111_0000 ? 4 : byte >= 0b1110_0000 ? 3 : byte >= 0b1100_0000 ? 2 : 1
    return needed > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}
