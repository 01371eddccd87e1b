import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { reachablePackage } from './embedded/reachable-package.ts'

/** `nobody`: PostgreSQL refuses to run as root, and wants a uid that has a name. */
const unprivileged = 65_534

const settings = {
  listen_addresses: '',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  max_connections: '300',
  shared_buffers: '32MB',
}

/**
 * A PostgreSQL cluster in a temporary folder that is as fast as it is careless (no fsync). It ends, and its folder is
 * removed, when it is disposed of or when this process ends, even by SIGKILL: its parent is a shell that waits for the
 * end of our pipe. It does not keep this process alive.
 */
export class TestCluster implements AsyncDisposable {
  /** Of its maintenance database. */
  readonly url: string
  readonly #keeper: ChildProcessByStdio<Writable, null, Readable>
  readonly #exited: Promise<unknown>

  private constructor(url: string, keeper: ChildProcessByStdio<Writable, null, Readable>, exited: Promise<unknown>) {
    this.url = url
    this.#keeper = keeper
    this.#exited = exited
  }

  static async start(): Promise<TestCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'coderunner-test-postgres-'))
    try {
      const identity = process.getuid?.() === 0 ? { uid: unprivileged, gid: unprivileged } : {}
      if (identity.uid !== undefined) await chown(directory, identity.uid, identity.gid)
      const data = join(directory, 'data')
      const bin = join(await reachablePackage(identity, join(directory, 'package')), 'native', 'bin')
      await run(
        join(bin, 'initdb'),
        ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync'],
        identity,
      )
      const server = [
        join(bin, 'postgres'),
        '-D',
        data,
        '-k',
        directory,
        ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`),
      ]
      const script = 'directory=$1; shift; "$@" & cat >/dev/null; kill -QUIT $!; wait; rm -rf "$directory"'
      const keeper = spawn('/bin/sh', ['-c', script, 'sh', directory, ...server], {
        ...identity,
        stdio: ['pipe', 'ignore', 'pipe'],
        // Of a group of its own: Ctrl-C is for the tests, which then end it in order.
        detached: true,
        cwd: '/',
      })
      const exited = once(keeper, 'exit')
      await ready(keeper.stderr, exited)
      keeper.unref()
      for (const stream of [keeper.stdin, keeper.stderr]) (stream as unknown as { unref(): void }).unref()
      return new TestCluster(`postgres://postgres@/postgres?host=${encodeURIComponent(directory)}`, keeper, exited)
    } catch (error) {
      await rm(directory, { recursive: true, force: true })
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#keeper.ref()
    this.#keeper.stdin.end()
    await this.#exited
  }
}

/** Resolves when PostgreSQL says that it takes connections. Reads its output to the end, or it would stop at a full pipe. */
async function ready(output: Readable, exited: Promise<unknown>): Promise<void> {
  const lines: string[] = []
  await new Promise<void>((resolve, reject) => {
    const fail = () => reject(new Error(`PostgreSQL did not start: ${lines.join('\n')}`))
    createInterface({ input: output }).on('line', line => {
      if (lines.length < 50) lines.push(line)
      if (line.includes('ready to accept connections')) resolve()
    })
    exited.then(fail, fail)
  })
}

async function run(file: string, words: string[], identity: { uid?: number; gid?: number }): Promise<void> {
  const child = spawn(file, words, { ...identity, stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' })
  const lines: string[] = []
  createInterface({ input: child.stderr }).on('line', line => lines.push(line))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${file} failed: ${lines.join('\n')}`)
}
