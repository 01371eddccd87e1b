import { createHash } from 'node:crypto'
import { compare, hash } from '@node-rs/bcrypt'

const cost = 11

/** bcrypt reads 72 bytes at most and stops at a zero byte: a digest in base64 has all of the password in 64 of them. */
function digest(password: string): string {
  return createHash('sha384').update(password.normalize('NFKC')).digest('base64')
}

export function hashPassword(password: string): Promise<string> {
  return hash(digest(password), { cost })
}

export function verifyPassword({ hash, password }: { hash: string; password: string }): Promise<boolean> {
  return compare(digest(password), hash)
}
