import type { Socket } from 'node:net'
import type { RouteCounters } from '@coderunner/contract'
import { closeFrame, FrameTracker } from './websocket-frames.ts'

const boundaryWaitMs = 1000
const farewellMs = 2000

/**
 * Bytes both ways between a client and an application after the upgrade, with back-pressure and half-close.
 *
 * When it is cut, both sides get a close frame 1012, so that clients connect again at once. A frame must not stand within
 * another one; therefore the frames of both directions are followed (their lengths only), and the close frame is written
 * where a frame ends: at once, or when the frame that is on its way is complete, at most a second later.
 */
export class WebSocketTunnel {
  readonly kind = 'websocket'
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #toClient = new FrameTracker()
  readonly #toUpstream = new FrameTracker()
  #cutting = false
  #toClientClosed = false

  constructor(options: { client: Socket; upstream: Socket; counters: RouteCounters; onClose: () => void }) {
    const { client, upstream, counters } = options
    this.#client = client
    this.#upstream = upstream
    for (const socket of [client, upstream]) {
      socket.setTimeout(0)
      socket.setNoDelay(true)
      socket.setKeepAlive(true, 30_000)
      socket.on('error', () => this.#destroy())
    }
    client.on('data', (chunk: Buffer) => {
      counters.bytesIn += chunk.length
      // Once cut, only the frame that was on its way is finished.
      const taken = this.#toUpstream.advance(chunk, this.#cutting)
      if (this.#cutting) this.#finishUpstream(chunk.subarray(0, taken))
      else flow(client, upstream, chunk)
    })
    upstream.on('data', (chunk: Buffer) => {
      counters.bytesOut += chunk.length
      const taken = this.#toClient.advance(chunk, this.#cutting)
      if (this.#cutting) this.#finishClient(chunk.subarray(0, taken))
      else flow(upstream, client, chunk)
    })
    client.on('end', () => upstream.end())
    upstream.on('end', () => client.end())
    let open = 2
    const closed = (other: Socket) => {
      // Nothing can flow to a side that is gone: what is written there is only finished.
      if (!other.destroyed) other.destroySoon()
      if (--open === 0) options.onClose()
    }
    client.on('close', () => closed(upstream))
    upstream.on('close', () => closed(client))
  }

  /** Closes both sides with 1012. */
  cut(): void {
    if (this.#cutting) return
    this.#cutting = true
    const boundary = setTimeout(() => this.#destroyUnlessClosing(), boundaryWaitMs)
    const farewell = setTimeout(() => this.#destroy(), farewellMs)
    this.#client.on('close', () => [boundary, farewell].forEach(clearTimeout))
    if (this.#toClient.atBoundary) this.#finishClient(Buffer.alloc(0))
    if (this.#toUpstream.atBoundary) this.#finishUpstream(Buffer.alloc(0))
    this.#client.resume()
    this.#upstream.resume()
  }

  #finishClient(rest: Buffer): void {
    if (this.#toClientClosed) return
    if (rest.length > 0) this.#client.write(rest)
    if (!this.#toClient.atBoundary) return
    this.#toClientClosed = true
    this.#client.end(closeFrame(false))
  }

  #finishUpstream(rest: Buffer): void {
    if (this.#upstream.writableEnded) return
    if (rest.length > 0) this.#upstream.write(rest)
    if (this.#toUpstream.atBoundary) this.#upstream.end(closeFrame(true))
  }

  #destroyUnlessClosing(): void {
    if (!this.#toClientClosed) this.#destroy()
  }

  #destroy(): void {
    this.#client.destroy()
    this.#upstream.destroy()
  }
}

function flow(from: Socket, to: Socket, chunk: Buffer): void {
  if (!to.writable || to.write(chunk)) return
  from.pause()
  to.once('drain', () => from.resume())
}
