import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, suite, test } from 'node:test'
import { Client } from 'pg'
import { DirectoryLockedError } from './directory-lock.ts'
import { EmbeddedPostgres, type EmbeddedPostgresOptions, type SpawnPostgres } from './embedded-postgres.ts'
import { processesOf } from './postmaster.ts'
import { reachablePackage } from './reachable-package.ts'

// PostgreSQL does not run as root; `daemon` is an account that every Linux has.
const identity = process.getuid?.() === 0 ? { uid: 1, gid: 1 } : {}
const serverDeath = { connectionTimeoutMillis: 5000 }

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url, ...serverDeath })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

suite('embedded PostgreSQL', { timeout: 120_000 }, () => {
  let directory: string
  let options: EmbeddedPostgresOptions
  let copy: string
  let packageDir: string

  before(async () => {
    copy = await mkdtemp(join(tmpdir(), 'crpg-package-'))
    packageDir = await reachablePackage(identity, copy)
  })

  after(() => rm(copy, { recursive: true }))

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'crpg-'))
    await chmod(directory, 0o711)
    options = { dataDir: join(directory, 'data'), socketDir: join(directory, 'socket'), packageDir, ...identity }
    await mkdir(options.socketDir, { mode: 0o700 })
    if (identity.uid !== undefined) await chown(options.socketDir, identity.uid, identity.gid)
  })

  afterEach(async () => {
    const clusterDir = join(options.dataDir, '18', 'cluster')
    const left = await processesOf(clusterDir, undefined)
    for (const pid of left) process.kill(pid, 'SIGKILL')
    await rm(directory, { recursive: true, force: true })
    assert.deepEqual(left, [])
  })

  test('answers on its socket alone, wants the password and keeps its files to itself', async () => {
    await using postgres = await EmbeddedPostgres.start(options)
    assert.deepEqual(await query(postgres.url, "select current_database() as name, 'ü' < 'z' as bytewise"), [
      { name: 'coderunner', bytewise: false },
    ])
    assert.deepEqual(await query(postgres.directUrl, 'show listen_addresses'), [{ listen_addresses: '' }])
    await assert.rejects(query(postgres.url.replace(/:[^:@]*@/, ':wrong@'), 'select 1'), { code: '28P01' })
    const password = await stat(join(options.dataDir, '18', 'password'))
    assert.equal(password.mode & 0o777, 0o600)
    const cluster = await stat(join(options.dataDir, '18', 'cluster'))
    assert.equal(cluster.mode & 0o777, 0o700)
    assert.equal(cluster.uid, identity.uid ?? process.getuid?.())
    await postgres.stop()
    await assert.rejects(query(postgres.url, 'select 1'), { code: 'ENOENT' })
  })

  test('recovers what was committed after kill -9 of the postmaster', async () => {
    {
      await using postgres = await EmbeddedPostgres.start(options)
      await query(postgres.url, 'create table kept as select generate_series(1, 1000) as n')
      process.kill(postgres.pid, 'SIGKILL')
      await postgres.exited
    }
    await using again = await EmbeddedPostgres.start(options)
    assert.equal(again.adopted, false)
    assert.deepEqual(await query(again.url, 'select count(*)::int as n from kept'), [{ n: 1000 }])
  })

  test('starts though the pid that a killed one noted is now that of another process of its user', async () => {
    {
      await using postgres = await EmbeddedPostgres.start(options)
      process.kill(postgres.pid, 'SIGKILL')
      await postgres.exited
    }
    const stranger = spawn('/bin/sleep', ['60'], { ...identity, stdio: 'ignore' })
    try {
      const cluster = join(options.dataDir, '18', 'cluster')
      for (const noted of [join(cluster, 'postmaster.pid'), join(options.socketDir, '.s.PGSQL.5432.lock')])
        await writeFile(noted, (await readFile(noted, 'utf8')).replace(/^\d+/, String(stranger.pid)))
      await using again = await EmbeddedPostgres.start(options)
      assert.deepEqual(await query(again.url, 'select 1 as one'), [{ one: 1 }])
      assert.equal(stranger.exitCode ?? stranger.signalCode, null)
    } finally {
      stranger.kill()
    }
  })

  test('adopts the server of a supervisor that was killed, and tells when it ends', async () => {
    const program = `
      const { EmbeddedPostgres } = await import(${JSON.stringify(join(import.meta.dirname, 'embedded-postgres.ts'))})
      const postgres = await EmbeddedPostgres.start(${JSON.stringify(options)})
      process.stdout.write(String(postgres.pid) + '\\n')
      await new Promise(() => setInterval(() => {}, 1000))`
    const supervisor = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [pid] = (await once(supervisor.stdout, 'data')) as [Buffer]
    await assert.rejects(EmbeddedPostgres.start(options), (error: unknown) => {
      assert.ok(error instanceof DirectoryLockedError)
      assert.equal(error.pid, supervisor.pid)
      return true
    })
    supervisor.kill('SIGKILL')
    await once(supervisor, 'exit')

    await using postgres = await EmbeddedPostgres.start(options)
    assert.equal(postgres.adopted, true)
    assert.equal(postgres.pid, Number(pid.toString()))
    assert.deepEqual(await query(postgres.url, 'select 1 as one'), [{ one: 1 }])
    process.kill(postgres.pid, 'SIGQUIT')
    assert.deepEqual(await postgres.exited, { code: null })
  })

  test('waits out a server that is going down', async () => {
    const first = await EmbeddedPostgres.start(options)
    const client = new Client({ connectionString: first.url, ...serverDeath })
    client.on('error', () => {})
    await client.connect()
    process.kill(first.pid, 'SIGTERM') // smart shutdown: waits for the client, and takes no other
    const stopped = first.stop()
    await stopped
    await using second = await EmbeddedPostgres.start(options)
    assert.notEqual(second.pid, first.pid)
    assert.equal(second.adopted, false)
  })

  test('a start that is cut during initdb leaves nothing the next one trips over', async () => {
    const running: ChildProcess[] = []
    const cut: SpawnPostgres = (command, args, spawnOptions) => {
      const child = spawn(command, args, { ...spawnOptions, ...identity })
      running.push(child)
      setTimeout(() => child.kill('SIGKILL'), 200)
      return child
    }
    await assert.rejects(EmbeddedPostgres.start({ ...options, spawn: cut }), /initdb failed/)
    assert.equal(running.length, 1)
    await mkdir(join(options.dataDir, 'init-of-a-killed-supervisor', 'cluster'), { recursive: true })
    await using postgres = await EmbeddedPostgres.start(options)
    assert.deepEqual(await query(postgres.url, 'select 1 as one'), [{ one: 1 }])
    assert.deepEqual((await readdir(options.dataDir)).sort(), ['18', 'lock', 'postgres.log'])
  })

  test('refuses a second start at the same time', async () => {
    const starts = await Promise.allSettled([EmbeddedPostgres.start(options), EmbeddedPostgres.start(options)])
    const started = starts.filter(start => start.status === 'fulfilled')
    for (const { value } of started) await value.stop()
    assert.equal(started.length, 1)
    const refused = starts.find(start => start.status === 'rejected')
    assert.ok(refused?.reason instanceof DirectoryLockedError)
  })

  test('says at once that a socket path is too long', async () => {
    const socketDir = join(directory, 'x'.repeat(90))
    await assert.rejects(EmbeddedPostgres.start({ ...options, socketDir }), /longer than the 10\d bytes/)
  })

  test('says what PostgreSQL said when it does not start', async () => {
    await using _first = await EmbeddedPostgres.start(options)
    await _first.stop()
    await rm(options.socketDir, { recursive: true })
    await assert.rejects(EmbeddedPostgres.start(options), /could not create lock file|No such file/)
  })
})
