import { isIP } from 'node:net'

/** `localhost`, 127.0.0.0/8 and ::1, in whatever form a URL or a socket spells them. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase()
  return name === 'localhost' || name === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(name)
}

/**
 * Host names this server answers to. Against DNS rebinding: a page of somebody else whose name was pointed at this
 * address still sends its own name. An address in the Host header cannot be such a name.
 */
export class KnownHosts {
  readonly #names: ReadonlySet<string>
  readonly #origins: ReadonlySet<string>

  constructor(options: { publicUrl: string; hosts: readonly string[]; corsOrigins: readonly string[] }) {
    this.#names = new Set([new URL(options.publicUrl).hostname, ...options.hosts].map(name => name.toLowerCase()))
    this.#origins = new Set([new URL(options.publicUrl).origin, ...options.corsOrigins])
  }

  /** `hostname` without a port, IPv6 in brackets or not. */
  knows(hostname: string): boolean {
    const name = hostname.replace(/^\[|\]$/g, '').toLowerCase()
    return isLoopback(name) || isIP(name) !== 0 || this.#names.has(name)
  }

  /** May a page of `origin` change something here? `own` is the origin the request itself was made to. */
  trusts(origin: string, own: string): boolean {
    return origin === own || this.#origins.has(origin)
  }
}
