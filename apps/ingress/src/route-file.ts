import { open, readFile, rename } from 'node:fs/promises'
import { RouteTable } from '@coderunner/contract'
import { Compile } from 'typebox/compile'

export const routeTable = Compile(RouteTable)

/** The last table, if there is one that can be read. */
export async function loadRoutes(file: string): Promise<RouteTable | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return undefined
  const table: unknown = JSON.parse(text)
  return routeTable.Check(table) ? table : undefined
}

/** The file is either the old table or the new one, also after a power failure. */
export async function saveRoutes(file: string, table: RouteTable): Promise<void> {
  const incoming = `${file}.incoming`
  const handle = await open(incoming, 'w', 0o600)
  try {
    await handle.writeFile(JSON.stringify(table))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(incoming, file)
}
