/** Requests to the kernel over netlink, in process. */
import { closeSync } from 'node:fs'
import { constants } from 'node:os'
import { call, callInBackground, KernelError } from '../kernel/libc.ts'
import { inNetworkNamespace } from '../kernel/namespaces.ts'
import { HEADER_SIZE, readMessages } from './netlink-message.ts'

const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 0x80003
const MSG_DONTWAIT = 0x40
const SIOCGIFINDEX = 0x8933
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_DUMP = 0x300
/** The kernel puts at most 32 KiB into one answer. */
const RECEIVE_BYTES = 64 * 1024

export const netlinkProtocols = { route: 0, socketDiagnosis: 4, netfilter: 12 } as const

export interface NetlinkMessage {
  type: number
  body: Buffer
}

/** A netlink socket in one network namespace; it stays there wherever the thread goes. One request at a time. */
export class NetlinkSocket implements Disposable {
  readonly #fd: number
  #sequence = 0

  private constructor(fd: number) {
    this.#fd = fd
  }

  /** In the network namespace of a process, or the host's. */
  static open(protocol: keyof typeof netlinkProtocols, options: { pid?: number } = {}): NetlinkSocket {
    const open = (): number =>
      call('socket', 'open a netlink socket', AF_NETLINK, SOCK_RAW_CLOEXEC, netlinkProtocols[protocol])
    return new NetlinkSocket(options.pid === undefined ? open() : inNetworkNamespace(options.pid, open))
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  /** Undefined when there is no such interface. */
  interfaceIndex(name: string): number | undefined {
    const request = Buffer.alloc(40)
    request.write(name, 'latin1')
    try {
      call('ioctl', `find interface ${name}`, this.#fd, SIOCGIFINDEX, request)
    } catch (error) {
      if (error instanceof KernelError && error.code === 'ENODEV') return undefined
      throw error
    }
    return request.readInt32LE(16)
  }

  /** @throws KernelError with what the kernel answered */
  async request(attempted: string, type: number, flags: number, body: readonly Buffer[]): Promise<void> {
    await this.#exchange(attempted, type, flags | NLM_F_ACK, body)
  }

  async dump(attempted: string, type: number, body: readonly Buffer[]): Promise<NetlinkMessage[]> {
    return this.#exchange(attempted, type, NLM_F_DUMP, body)
  }

  /**
   * The kernel works while it is sent to, so that happens on another thread (it may wait for a lock); answers are there
   * when it returns.
   */
  async #exchange(
    attempted: string,
    type: number,
    flags: number,
    body: readonly Buffer[],
  ): Promise<{ type: number; body: Buffer }[]> {
    const sequence = ++this.#sequence
    const header = Buffer.alloc(HEADER_SIZE)
    const message = Buffer.concat([header, ...body])
    message.writeUInt32LE(message.length, 0)
    message.writeUInt16LE(type, 4)
    message.writeUInt16LE(flags | NLM_F_REQUEST, 6)
    message.writeUInt32LE(sequence, 8)
    await callInBackground('send', attempted, this.#fd, message, message.length, 0)
    const answers: { type: number; body: Buffer }[] = []
    for (;;) {
      const received = Buffer.alloc(RECEIVE_BYTES)
      const length = call('recv', attempted, this.#fd, received, received.length, MSG_DONTWAIT)
      for (const answer of readMessages(received.subarray(0, length))) {
        if (answer.sequence !== sequence) continue
        if (answer.type === NLMSG_DONE) return answers
        if (answer.type === NLMSG_ERROR) {
          const errno = -answer.body.readInt32LE(0)
          if (errno !== 0) throw new KernelError(errnoName(errno), attempted)
          return answers
        }
        answers.push(answer)
      }
    }
  }
}

const errnoName = (errno: number): string =>
  Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`
