import type { ColumnType } from 'kysely'

/**
 * A jsonb column: read as whatever its writer put there, written as text made by JSON.stringify. The driver would turn
 * an array into a PostgreSQL array, so values are not taken as they are.
 */
export type JsonColumn = ColumnType<unknown, string, string>
