import { join } from 'node:path'
import { HostDaemon, HostProvider } from '@coderunner/runtime-host'

/** The sandboxes of this machine and the socket through which the server orders them. */
export class SandboxHost implements AsyncDisposable {
  readonly #provider: HostProvider
  readonly #daemon: HostDaemon
  readonly #onExit: 'keep' | 'stop'

  private constructor(provider: HostProvider, daemon: HostDaemon, onExit: 'keep' | 'stop') {
    this.#provider = provider
    this.#daemon = daemon
    this.#onExit = onExit
  }

  static async start(options: {
    instance: string
    dataDir: string
    runDir: string
    cacheDir: string
    socketDir: string
    egressAllow: string[]
    registryHosts: string[]
    /** As builders get it. */
    registryEnv: Record<string, string>
    /** Who may order. */
    server: number
    /** `stop`: sandboxes end with us, and nothing of theirs stays on the machine. */
    onExit: 'keep' | 'stop'
    onProgress: (line: string) => void
    /** Of failures that the server is told nothing of but that there was one. */
    onError: (error: unknown) => void
  }): Promise<SandboxHost> {
    const { onExit, server, socketDir, onError, ...place } = options
    // The first deployment would wait for it.
    const provider = await HostProvider.start({ ...place, onError, builderImage: 'at-start' })
    try {
      const socketPath = join(socketDir, 'daemon.sock')
      const daemon = await HostDaemon.start({ provider, socketPath, uid: server, gid: server, onError })
      return new SandboxHost(provider, daemon, onExit)
    } catch (error) {
      await provider[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]()
    if (this.#onExit === 'stop') await this.#provider.remove()
    else await this.#provider[Symbol.asyncDispose]()
  }
}
