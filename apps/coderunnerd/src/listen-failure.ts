/** What to do about an address or a port that a child was refused; undefined when its words tell of something else. */
export function listenAdvice(words: string, variable: 'CODERUNNER_PORT' | 'CODERUNNER_APPS_PORT'): string | undefined {
  const unknown = /getaddrinfo \w+ (\S+)/.exec(words)?.[1]
  if (unknown !== undefined) return `${unknown} is no name of this machine: set CODERUNNER_HOST to an address of it.`
  const [, code, address, port] = /listen (E[A-Z]+): .* (\S+?)(?::(\d+))?$/m.exec(words) ?? []
  switch (code ?? '') {
    case 'EADDRINUSE':
      return `${address}:${port} is taken by another program, which “ss -ltnp sport = :${port}” names: end it, or set ${variable} to another port (0: any free one).`
    case 'EACCES':
      return `Port ${port} is not open to programs without rights: set ${variable} to one from 1024 up, or run “sysctl -w net.ipv4.ip_unprivileged_port_start=${port}”.`
    case 'EADDRNOTAVAIL':
    case 'EINVAL':
      return `${address} is no address of this machine: set CODERUNNER_HOST to one that “ip address” shows.`
    default:
      return undefined
  }
}
