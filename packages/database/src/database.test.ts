import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { sql } from 'kysely'
import { Database, MigrationError } from './index.ts'
import { testDatabase } from './testing.ts'

interface Schema {
  thing: { id: number; size: number }
}

async function folder() {
  const directory = await mkdtemp(join(tmpdir(), 'coderunner-migrations-'))
  return {
    directory,
    write: (name: string, text: string) => writeFile(join(directory, name), text),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}

test('reads bigint as a number and refuses what does not fit', async () => {
  await using created = await testDatabase()
  await using database = await Database.connect<Schema>({ url: created.url })
  const { rows } = await sql<{ n: number }>`select 9007199254740991::bigint as n`.execute(database.kysely)
  assert.equal(rows[0]?.n, 9007199254740991)
  await assert.rejects(sql`select 9007199254740992::bigint`.execute(database.kysely), RangeError)
})

test('applies migrations once, whoever comes first, and refuses changed, late and unknown files', async () => {
  await using created = await testDatabase()
  await using migrations = await folder()
  await using database = await Database.connect<Schema>({ url: created.url })
  await migrations.write('0001_thing.sql', 'create table thing (id integer primary key, size bigint not null)')
  const applied = await Promise.all([1, 2, 3].map(() => database.migrate(migrations.directory)))
  assert.deepEqual(applied.flat(), ['0001_thing'])

  await migrations.write('0003_broken.sql', 'create table other (id integer); select nothing from nowhere')
  await assert.rejects(database.migrate(migrations.directory), /0003_broken failed.*nowhere/)
  await migrations.write('0003_broken.sql', 'create table other (id integer)')
  assert.deepEqual(await database.migrate(migrations.directory), ['0003_broken'])

  await migrations.write('0002_late.sql', 'select 1')
  await assert.rejects(database.migrate(migrations.directory), MigrationError)
  await rm(join(migrations.directory, '0002_late.sql'))
  await migrations.write('0001_thing.sql', 'create table thing (id integer)')
  await assert.rejects(database.migrate(migrations.directory), /0001_thing was changed/)
  await rm(join(migrations.directory, '0001_thing.sql'))
  await assert.rejects(database.migrate(migrations.directory), /does not know/)
})

test('a transaction that rejects leaves nothing, a notification goes out with the commit', async () => {
  await using created = await testDatabase()
  await using database = await Database.connect<Schema>({ url: created.url })
  await sql`create table thing (id integer, size bigint)`.execute(database.kysely)
  const heard: string[] = []
  const told = new EventTarget()
  const stop = new AbortController()
  await database.listen(
    'things',
    payload => {
      heard.push(payload)
      told.dispatchEvent(new Event('told'))
    },
    { signal: stop.signal },
  )
  await assert.rejects(
    database.transaction(async transaction => {
      await transaction.insertInto('thing').values({ id: 1, size: 1 }).execute()
      await sql`select pg_notify('things', 'lost')`.execute(transaction)
      throw new Error('no')
    }),
    /no/,
  )
  const event = once(told, 'told')
  await sql`select pg_notify('things', 'kept')`.execute(database.kysely)
  await event
  assert.deepEqual(heard, ['kept'])
  assert.deepEqual(await database.kysely.selectFrom('thing').selectAll().execute(), [])
  stop.abort()
})

test('listens again after its connection was cut, and says so', async () => {
  await using created = await testDatabase()
  await using database = await Database.connect<Schema>({ url: created.url })
  const told = new EventTarget()
  await database.listen('things', payload => told.dispatchEvent(new CustomEvent('told', { detail: payload })), {
    onReconnect: () => told.dispatchEvent(new Event('back')),
  })
  const back = once(told, 'back')
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'coderunner listen' and datname = current_database()`.execute(
    database.kysely,
  )
  await back
  const event = once(told, 'told') as Promise<[CustomEvent<string>]>
  await sql`select pg_notify('things', 'after')`.execute(database.kysely)
  assert.equal((await event)[0].detail, 'after')
})

test('says what is wrong when there is no database', async () => {
  await assert.rejects(Database.connect({ url: 'postgres://x@127.0.0.1:1/x' }), /ECONNREFUSED/)
})

test('tells whether notifications arrive', async () => {
  await using created = await testDatabase()
  await using other = await testDatabase()
  await using database = await Database.connect<Schema>({ url: created.url })
  assert.equal(await database.hearsNotifications(), true)
  // As through a pooler: what listens is not where the notification is sent.
  await using deaf = await Database.connect<Schema>({ url: created.url, directUrl: other.url })
  assert.equal(await deaf.hearsNotifications(200), false)
})
