import { StringDecoder } from 'node:string_decoder'

/** Longest line kept in one piece; a program that writes no newline does not fill the memory. */
const maxLine = 16_384

/** Cuts a byte stream into lines: at newlines, and at carriage returns, with which progress bars overwrite themselves. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''

  push(data: Buffer): string[] {
    const parts = (this.#rest + this.#decoder.write(data)).split(/\r*\n|\r+(?=[^\n])/)
    this.#rest = parts.pop() ?? ''
    if (this.#rest.length > maxLine) {
      parts.push(this.#rest)
      this.#rest = ''
    }
    return parts
  }

  end(): string[] {
    const rest = this.#rest + this.#decoder.end()
    this.#rest = ''
    return rest === '' ? [] : [rest.replace(/\r$/, '')]
  }
}
