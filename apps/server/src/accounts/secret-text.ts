import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** `<prefix>_` and 160 random bits in base62: always 27 characters. */
export function newSecretText(prefix: string): string {
  let number = BigInt(`0x${randomBytes(20).toString('hex')}`)
  let text = ''
  for (let index = 0; index < 27; index += 1) {
    text = alphabet.charAt(Number(number % 62n)) + text
    number /= 62n
  }
  return `${prefix}_${text}`
}

/** 160 random bits need no slow hash. */
export function hashSecretText(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Takes the same time wherever the two differ, and whatever their lengths. */
export function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(hashSecretText(given), hashSecretText(expected))
}
