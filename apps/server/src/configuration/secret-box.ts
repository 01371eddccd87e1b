import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

const nonceBytes = 12
const tagBytes = 16

export interface Sealed {
  /** 12 bytes nonce, ciphertext, 16 bytes tag. */
  sealed: Buffer
  keyId: string
}

/**
 * Keeps secrets at rest: AES-256-GCM under the server's key. New values are sealed with the first key; those that were
 * sealed with an older one are opened by its id.
 */
export class SecretBox {
  readonly #keys: ReadonlyMap<string, Buffer>
  readonly #currentId: string

  constructor(current: Buffer, older: readonly Buffer[] = []) {
    for (const key of [current, ...older]) if (key.length !== 32) throw new RangeError('A secret key has 32 bytes.')
    this.#currentId = idOf(current)
    this.#keys = new Map([current, ...older].map(key => [idOf(key), key]))
  }

  /** `context` says what the value belongs to, so that it cannot be passed off as another one's. */
  seal(plaintext: string, context: string): Sealed {
    const nonce = randomBytes(nonceBytes)
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(this.#currentId), nonce, { authTagLength: tagBytes })
    cipher.setAAD(Buffer.from(context))
    const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()])
    return { sealed: Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]), keyId: this.#currentId }
  }

  open({ sealed, keyId }: Sealed, context: string): string {
    const nonce = sealed.subarray(0, nonceBytes)
    const decipher = createDecipheriv('aes-256-gcm', this.#keyOf(keyId), nonce, { authTagLength: tagBytes })
    decipher.setAAD(Buffer.from(context))
    decipher.setAuthTag(sealed.subarray(-tagBytes))
    const ciphertext = sealed.subarray(nonceBytes, -tagBytes)
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8')
  }

  /** A key for another purpose, from which this one cannot be found. */
  derive(purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#keyOf(this.#currentId), '', `coderunner ${purpose}`, 32))
  }

  #keyOf(id: string): Buffer {
    const key = this.#keys.get(id)
    if (key === undefined) throw new Error(`The secret key ${id} is missing: values sealed with it cannot be read.`)
    // HKDF, so that the bytes of the key file themselves encrypt nothing.
    return Buffer.from(hkdfSync('sha256', key, '', 'coderunner secret box', 32))
  }
}

function idOf(key: Buffer): string {
  return createHash('sha256').update('coderunner key id').update(key).digest('hex').slice(0, 16)
}
