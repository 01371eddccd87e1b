import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** The server's key: the one given, or the one in its folder, which is made there (0600) the first time. */
export async function loadSecretKey(options: { secretKey?: Buffer; dataDirectory: string }): Promise<Buffer> {
  if (options.secretKey !== undefined) return options.secretKey
  const path = join(options.dataDirectory, 'secret.key')
  await mkdir(options.dataDirectory, { recursive: true, mode: 0o700 })
  try {
    return await readKey(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  // Linked when complete: of two servers that start at once one wins, and neither ever sees half a key.
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  const file = await open(temporary, 'wx', 0o600)
  try {
    await file.writeFile(`${randomBytes(32).toString('base64')}\n`)
    await file.sync()
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await file.close()
    await rm(temporary, { force: true })
  }
  return readKey(path)
}

async function readKey(path: string): Promise<Buffer> {
  const key = Buffer.from(await readFile(path, 'utf8'), 'base64')
  if (key.length !== 32) throw new Error(`${path} does not hold a key of 32 bytes in base64. Restore it from a backup.`)
  return key
}
