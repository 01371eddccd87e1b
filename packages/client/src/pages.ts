export interface Page<T> {
  items: T[]
  nextCursor?: string
}

/** All items of a paged list, a page fetched only when the one before it is used up. */
export async function* itemsOf<T>(fetchPage: (cursor: string | undefined) => Promise<Page<T>>): AsyncGenerator<T> {
  let cursor: string | undefined
  do {
    const page: Page<T> = await fetchPage(cursor)
    yield* page.items
    cursor = page.nextCursor
  } while (cursor !== undefined)
}
