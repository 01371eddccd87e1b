import { Database } from '@coderunner/database'
import { testDatabase as cloneDatabase } from '@coderunner/database/testing'
import { type DB, type Db, migrationsDirectory } from './database.ts'

/** A migrated database of one test's own with a pool of connections to it; dropped when it is disposed of. */
export interface ServerTestDatabase extends AsyncDisposable {
  url: string
  database: Database<DB>
  db: Db
}

export async function testDatabase(): Promise<ServerTestDatabase> {
  const created = await cloneDatabase(migrationsDirectory)
  const database = await Database.connect<DB>({ url: created.url, max: 4 })
  return {
    url: created.url,
    database,
    db: database.kysely,
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]()
      await created[Symbol.asyncDispose]()
    },
  }
}
