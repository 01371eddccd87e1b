import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { idPattern, newId } from '@coderunner/contract'

/** Id of a data directory, made once and kept in it. */
export async function serverId(dataDirectory: string): Promise<string> {
  const path = join(dataDirectory, 'server-id')
  const known = await readFile(path, 'utf8').catch(() => '')
  if (idPattern.test(known)) return known
  const id = newId()
  await writeFile(`${path}.new`, id, { mode: 0o600 })
  await rename(`${path}.new`, path)
  return id
}
