import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { BodySender } from './body-sender.ts'
import { BadResponse } from './response-head.ts'
import { type ResponseHead, type ResponseListener, ResponseReader } from './response-reader.ts'

export interface OutgoingRequest {
  method: string
  /** Request line and headers with the empty line after them; written as latin1. */
  head: string
  /** Where the body comes from, when there is one. */
  body: IncomingMessage | undefined
  /** The body has no length: it goes in chunks. */
  isChunked: boolean
}

/** Told of one request's fate: `onEnd` or `onError` is the last call. */
export interface ExchangeListener extends ResponseListener {
  /** It goes out now: from here on it may have an effect. */
  onSent(): void
  onBodySent(bytes: number): void
  /** What has come so far is handed on; the rest of the answer may take its time. */
  onPause(): void
  /** No answer, or only a part of one. */
  onError(error: Error & { code?: string }): void
}

/** The application takes longer than it may for the head of its answer. */
export class AnswerTimeout extends Error {
  readonly code = 'ANSWER_TIMEOUT'
}

/**
 * All connections read into this one, which spares the 64 KB that a socket would allocate for each read: what has arrived
 * is handled, or copied, before anything else is read.
 */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024)

export interface ConnectionOptions {
  host: string
  port: number
  connectTimeoutMs: number
  answerTimeoutMs: number
  /** It has done its request and can take another one. */
  onFree(connection: Connection): void
  onClose(connection: Connection): void
}

/** A connection to an application, for one request at a time. */
export class Connection implements ResponseListener {
  readonly #options: ConnectionOptions
  readonly #socket: Socket
  readonly #reader = new ResponseReader()
  #outgoing: OutgoingRequest | undefined
  #listener: ExchangeListener | undefined
  #body: BodySender | undefined
  #isConnected = false
  #awaitsHead = false
  #isPaused = false
  #error: Error | undefined
  /** While it is free: when it is to be closed, in milliseconds since the epoch. */
  closeAt = 0

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#socket = connect({
      host: options.host,
      port: options.port,
      noDelay: true,
      onread: { buffer: readBuffer, callback: this.#onRead },
    })
    this.#socket.setTimeout(options.connectTimeoutMs)
    this.#socket.once('connect', this.#onConnect)
    this.#socket.on('timeout', this.#onTimeout)
    this.#socket.on('error', error => {
      this.#error ??= error
    })
    this.#socket.on('end', this.#onStreamEnd)
    this.#socket.on('close', this.#onClose)
  }

  /** The time for which the application said that it keeps the connection. */
  get keepAliveSeconds(): number | undefined {
    return this.#reader.keepAliveSeconds
  }

  /** False from the moment on at which it is to be closed. */
  get isUsable(): boolean {
    return !this.#socket.destroyed
  }

  /** Only for a connection that is new or free. */
  send(outgoing: OutgoingRequest, listener: ExchangeListener): void {
    this.#outgoing = outgoing
    this.#listener = listener
    if (this.#isConnected) this.#write(outgoing, listener)
  }

  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#socket.resume()
  }

  /** Breaks off what it is at; the listener is told at once. */
  destroy(error: Error = new Error('Given up')): void {
    this.#socket.destroy()
    this.#fail(error)
  }

  onInformation(head: ResponseHead): void {
    this.#listener?.onInformation(head)
  }

  onHead(head: ResponseHead): void {
    this.#awaitsHead = false
    this.#listener?.onHead(head)
  }

  onData(bytes: Buffer, isLast: boolean): void {
    this.#listener?.onData(bytes, isLast)
  }

  onEnd(trailers: string[]): void {
    const listener = this.#listener
    this.#listener = undefined
    this.#outgoing = undefined
    listener?.onEnd(trailers)
  }

  #onConnect = (): void => {
    this.#isConnected = true
    // Begins anew with each byte in either direction, and so with each request.
    this.#socket.setTimeout(this.#options.answerTimeoutMs)
    if (this.#outgoing !== undefined && this.#listener !== undefined) this.#write(this.#outgoing, this.#listener)
  }

  #write({ method, head, body, isChunked }: OutgoingRequest, listener: ExchangeListener): void {
    this.#reader.expect(method, this)
    this.#awaitsHead = true
    listener.onSent()
    if (this.#socket.destroyed) return
    this.#socket.write(head, 'latin1')
    if (body !== undefined) {
      const onBytes = (bytes: number) => listener.onBodySent(bytes)
      this.#body = new BodySender({ body, socket: this.#socket, isChunked, onBytes })
    }
  }

  #onRead = (bytes: number, buffer: Uint8Array): boolean => {
    try {
      this.#reader.read((buffer as Buffer).subarray(0, bytes))
    } catch (error) {
      this.destroy(error as Error)
      return false
    }
    if (this.#listener === undefined) this.#afterAnswer()
    else this.#listener.onPause()
    return true
  }

  #afterAnswer(): void {
    const isBodySent = this.#endBody()
    // An answer before the end of the request leaves the connection in the middle of one.
    if (!isBodySent || !this.#reader.keepAlive || this.#socket.destroyed) this.#socket.destroy()
    else {
      if (this.#isPaused) this.resume()
      this.#options.onFree(this)
    }
  }

  /** Whether the request has been sent as a whole. */
  #endBody(): boolean {
    const body = this.#body
    this.#body = undefined
    if (body === undefined || body.isSent) return true
    body.stop()
    return false
  }

  #onTimeout = (): void => {
    if (!this.#isConnected) this.destroy(Object.assign(new Error('No connection in time'), { syscall: 'connect' }))
    else if (this.#awaitsHead) this.destroy(new AnswerTimeout('No answer in time'))
  }

  #onStreamEnd = (): void => {
    if (!this.#reader.end()) this.#error ??= this.#endedEarly()
    this.#socket.destroy()
  }

  #endedEarly(): Error {
    return this.#reader.hasBegun
      ? new BadResponse('The connection ended within an answer')
      : Object.assign(new Error('The connection ended before an answer'), { code: 'ECONNRESET' })
  }

  #onClose = (): void => {
    this.#fail(this.#error ?? this.#endedEarly())
    this.#options.onClose(this)
  }

  #fail(error: Error): void {
    this.#endBody()
    const listener = this.#listener
    this.#listener = undefined
    listener?.onError(error)
  }
}
