import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Writes a client's body to a connection as it comes, no faster than the application takes it. */
export class BodySender {
  readonly #body: IncomingMessage
  readonly #socket: Socket
  readonly #isChunked: boolean
  readonly #onBytes: (bytes: number) => void
  #isSent = false

  constructor(options: {
    body: IncomingMessage
    socket: Socket
    isChunked: boolean
    onBytes: (bytes: number) => void
  }) {
    this.#body = options.body
    this.#socket = options.socket
    this.#isChunked = options.isChunked
    this.#onBytes = options.onBytes
    this.#body.on('data', this.#onData)
    this.#body.once('end', this.#onEnd)
    this.#socket.on('drain', this.#onDrain)
  }

  /** All of it is written. */
  get isSent(): boolean {
    return this.#isSent
  }

  /** What is left of it is read and thrown away, so that the client gets to reading the answer. */
  stop(): void {
    this.#body.off('data', this.#onData)
    this.#body.off('end', this.#onEnd)
    this.#socket.off('drain', this.#onDrain)
    this.#body.resume()
  }

  #onData = (chunk: Buffer): void => {
    this.#onBytes(chunk.length)
    if (!this.#socket.writable) return
    if (!this.#isChunked) {
      if (!this.#socket.write(chunk)) this.#body.pause()
      return
    }
    this.#socket.cork()
    this.#socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
    this.#socket.write(chunk)
    const more = this.#socket.write('\r\n', 'latin1')
    this.#socket.uncork()
    if (!more) this.#body.pause()
  }

  #onEnd = (): void => {
    this.#isSent = true
    this.#socket.off('drain', this.#onDrain)
    if (this.#isChunked && this.#socket.writable) this.#socket.write('0\r\n\r\n', 'latin1')
  }

  #onDrain = (): void => {
    this.#body.resume()
  }
}
