/**
 * A package index of a test's own (PEP 503) on an address of this machine that sandboxes can be let to, with wheels made
 * of the sources given.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { crc32 } from 'node:zlib'

export interface PythonPackage {
  name: string
  version: string
  /** Sources by path, such as `flask/__init__.py`. */
  files: Readonly<Record<string, string>>
  /** Programs: name to `module:function`. */
  scripts?: Readonly<Record<string, string>>
  requires?: readonly string[]
}

export class PythonIndex implements AsyncDisposable {
  readonly address: string
  readonly port: number
  /** Paths that were asked for. */
  readonly requests: string[]
  readonly #server: Server

  private constructor(server: Server, address: string, requests: string[]) {
    this.#server = server
    this.address = address
    this.port = (server.address() as AddressInfo).port
    this.requests = requests
  }

  static async start(packages: readonly PythonPackage[]): Promise<PythonIndex> {
    const address = ownAddress()
    const wheels = new Map(packages.map(item => [wheelName(item), makeWheel(item)]))
    const pages = new Map(packages.map(item => [`/simple/${item.name}/`, page(item, wheels.get(wheelName(item)))]))
    const requests: string[] = []
    const server = createServer((request, response) => {
      const path = request.url ?? ''
      requests.push(path)
      const wheel = wheels.get(path.replace('/files/', ''))
      const body = pages.get(path) ?? wheel
      const type = wheel === undefined ? 'text/html' : 'application/zip'
      response.writeHead(body === undefined ? 404 : 200, { 'content-type': type }).end(body)
    })
    server.listen(0, address)
    await once(server, 'listening')
    return new PythonIndex(server, address, requests)
  }

  /** For coderunnerd: sandboxes may come here. */
  get egressAllow(): string {
    return `${this.address}:${this.port}`
  }

  get url(): string {
    return `http://${this.address}:${this.port}/simple/`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** As a lock file has it. */
export function wheelHash(item: PythonPackage): string {
  return `sha256:${createHash('sha256').update(makeWheel(item)).digest('hex')}`
}

function ownAddress(): string {
  const entry = Object.values(networkInterfaces())
    .flat()
    .find(candidate => candidate?.family === 'IPv4' && !candidate.internal)
  if (entry === undefined)
    throw new Error('This machine has no address besides loopback, which sandboxes cannot reach.')
  return entry.address
}

function page(item: PythonPackage, wheel: Buffer | undefined): string {
  const digest = createHash('sha256')
    .update(wheel ?? '')
    .digest('hex')
  return `<!doctype html><a href="/files/${wheelName(item)}#sha256=${digest}">${wheelName(item)}</a>`
}

function wheelName({ name, version }: PythonPackage): string {
  return `${name.replaceAll('-', '_')}-${version}-py3-none-any.whl`
}

function makeWheel({ name, version, files, scripts = {}, requires = [] }: PythonPackage): Buffer {
  const info = `${name.replaceAll('-', '_')}-${version}.dist-info`
  const points = Object.entries(scripts).map(([script, target]) => `${script} = ${target}`)
  const content: Record<string, string> = {
    ...files,
    [`${info}/METADATA`]: [
      'Metadata-Version: 2.1',
      `Name: ${name}`,
      `Version: ${version}`,
      ...requires.map(line => `Requires-Dist: ${line}`),
      '',
    ].join('\n'),
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: coderunner\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    ...(points.length === 0 ? {} : { [`${info}/entry_points.txt`]: `[console_scripts]\n${points.join('\n')}\n` }),
  }
  const record = [...Object.keys(content), `${info}/RECORD`].map(path => `${path},,`).join('\n')
  return zip({ ...content, [`${info}/RECORD`]: `${record}\n` })
}

/** Not compressed: small and the same each time. */
function zip(files: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [path, text] of Object.entries(files)) {
    const [name, data] = [Buffer.from(path), Buffer.from(text)]
    const shared = Buffer.alloc(26)
    shared.writeUInt16LE(20, 0)
    shared.writeUInt16LE(0x21, 8) // 1980-01-01
    shared.writeUInt32LE(crc32(data), 10)
    shared.writeUInt32LE(data.length, 14)
    shared.writeUInt32LE(data.length, 18)
    shared.writeUInt16LE(name.length, 22)
    parts.push(Buffer.from('PK\u0003\u0004'), shared, name, data)
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(0o100644 * 0x10000, 6)
    rest.writeUInt32LE(offset, 10)
    directory.push(Buffer.from('PK\u0001\u0002'), Buffer.from([20, 3]), shared, rest, name)
    offset += 4 + shared.length + name.length + data.length
  }
  const entries = Buffer.concat(directory)
  const end = Buffer.alloc(18)
  end.writeUInt16LE(Object.keys(files).length, 4)
  end.writeUInt16LE(Object.keys(files).length, 6)
  end.writeUInt32LE(entries.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...parts, entries, Buffer.from('PK\u0005\u0006'), end])
}
