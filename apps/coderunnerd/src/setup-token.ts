import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** The word that makes somebody from another machine the first account. The same until its file is removed. */
export async function ensureSetupToken(path: string): Promise<string> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants
  const file = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600)
  try {
    const known = (await file.readFile('utf8')).trim()
    if (/^[\w-]{20,100}$/.test(known)) return known
    const token = randomBytes(18).toString('base64url')
    await file.truncate()
    await file.write(`${token}\n`, 0)
    return token
  } finally {
    await file.close()
  }
}
