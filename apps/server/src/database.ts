import { fileURLToPath } from 'node:url'
import type { Kysely } from 'kysely'
import type { DB } from './database-schema.ts'

/** The database or a transaction in it: stores take either. */
export type Db = Kysely<DB>
export type { DB } from './database-schema.ts'

export const migrationsDirectory = fileURLToPath(new URL('../migrations', import.meta.url))
