import { AppError } from '@coderunner/contract'

/** A page of a list, newest first, and where the next one begins. */
export interface Page<T> {
  items: T[]
  nextCursor?: string
}

/** Cuts a page out of `limit + 1` rows; the cursor is opaque to clients and holds the key of the last row shown. */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  key: (row: Row) => readonly (string | number)[],
  item: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    items: shown.map(item),
    ...(rows.length > limit && last !== undefined && { nextCursor: encodeCursor(key(last)) }),
  }
}

function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url')
}

/** The key in a cursor: as many strings and numbers as `kinds` says. */
export function decodeCursor<const Kinds extends readonly ('string' | 'number')[]>(
  cursor: string,
  kinds: Kinds,
): { [Index in keyof Kinds]: Kinds[Index] extends 'number' ? number : string } {
  const invalid = () => new AppError('invalid_request', 'The cursor is not one that a page has given.')
  let key: unknown
  try {
    key = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    throw invalid()
  }
  if (!Array.isArray(key) || key.length !== kinds.length || kinds.some((kind, index) => typeof key[index] !== kind))
    throw invalid()
  return key as never
}
