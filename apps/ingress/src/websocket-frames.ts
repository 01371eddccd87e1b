/** Follows the frames of one direction of a WebSocket (RFC 6455 §5.2), to know where a frame of our own may stand. */
export class FrameTracker {
  readonly #header = Buffer.alloc(14)
  #headerBytes = 0
  #payloadLeft = 0

  get atBoundary(): boolean {
    return this.#headerBytes === 0 && this.#payloadLeft === 0
  }

  /** Takes a chunk, or only its part up to the first boundary; returns how many bytes it took. */
  advance(chunk: Buffer, untilBoundary = false): number {
    let at = 0
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const taken = Math.min(this.#payloadLeft, chunk.length - at)
        this.#payloadLeft -= taken
        at += taken
      } else {
        this.#header[this.#headerBytes++] = chunk[at++] as number
        if (this.#headerBytes < this.#headerLength()) continue
        this.#payloadLeft = this.#payloadLength()
        this.#headerBytes = 0
      }
      if (untilBoundary && this.atBoundary) break
    }
    return at
  }

  #headerLength(): number {
    if (this.#headerBytes < 2) return 2
    const second = this.#header[1] as number
    const extended = (second & 0x7f) === 126 ? 2 : (second & 0x7f) === 127 ? 8 : 0
    return 2 + extended + (second & 0x80 ? 4 : 0)
  }

  #payloadLength(): number {
    const short = (this.#header[1] as number) & 0x7f
    if (short === 126) return this.#header.readUInt16BE(2)
    return short === 127 ? this.#header.readUInt32BE(2) * 2 ** 32 + this.#header.readUInt32BE(6) : short
  }
}

/** 1012: the service restarts, the client should connect again. */
const serviceRestart = 1012

/** A close frame; one to a server must be masked (with zeros here: masking protects nothing on this path). */
export function closeFrame(masked: boolean): Buffer {
  const payload = Buffer.from([serviceRestart >> 8, serviceRestart & 0xff])
  const head = [0x88, payload.length | (masked ? 0x80 : 0)]
  return Buffer.concat([Buffer.from(head), Buffer.alloc(masked ? 4 : 0), payload])
}
