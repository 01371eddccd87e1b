const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** An id of 20 characters of a-z and 0-9 (103 bits): it fits a DNS label, a path segment and a cgroup name as it is. */
export function newId(length = 20): string {
  let id = ''
  while (id.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
      // 252 is the largest multiple of 36 in a byte: what lies above would favour the first letters.
      if (byte >= 252 || id.length === length) continue
      const letter = alphabet.charAt(byte % 36)
      if (id !== '' || letter > '9') id += letter
    }
  }
  return id
}

export const idPattern = /^[a-z0-9]{20}$/
