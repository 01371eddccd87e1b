export { Database, type DatabaseOptions, type ListenOptions } from './database.ts'
export { DirectoryLock, DirectoryLockedError } from './embedded/directory-lock.ts'
export { EmbeddedPostgres, type EmbeddedPostgresOptions, type SpawnPostgres } from './embedded/embedded-postgres.ts'
export { MigrationError } from './migrator.ts'
