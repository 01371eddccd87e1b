import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { Failure } from '../failure.ts'
import { safeText } from './safe-text.ts'

const longestStdinSecret = 64 * 1024

/** Asks the person at the terminal; every question goes to stderr. */
export class Prompt {
  /** Somebody is there to answer. */
  readonly interactive: boolean
  readonly #stdin: NodeJS.ReadStream
  readonly #stderr: NodeJS.WriteStream
  readonly #signal: AbortSignal
  readonly #interrupt: () => void

  constructor(options: {
    interactive: boolean
    stdin: NodeJS.ReadStream
    stderr: NodeJS.WriteStream
    signal: AbortSignal
    /** Ctrl-C while a question is open: the terminal is in raw mode then and sends no signal. */
    interrupt: () => void
  }) {
    this.interactive = options.interactive
    this.#stdin = options.stdin
    this.#stderr = options.stderr
    this.#signal = options.signal
    this.#interrupt = options.interrupt
  }

  async text(question: string, fallback?: string): Promise<string> {
    const answer = await this.#ask(
      `${question}${fallback === undefined ? '' : ` [${safeText(fallback)}]`}: `,
      this.#stderr,
    )
    return answer.trim() === '' ? (fallback ?? '') : answer.trim()
  }

  /** Nothing of the answer is shown. */
  async secret(question: string): Promise<string> {
    this.#stderr.write(`${question}: `)
    const answer = await this.#ask('', new Writable({ write: (_chunk, _encoding, done) => done() }))
    this.#stderr.write('\n')
    return answer
  }

  async confirm(question: string, fallback: boolean): Promise<boolean> {
    const answer = await this.text(`${question} ${fallback ? '(Y/n)' : '(y/N)'}`)
    return answer === '' ? fallback : /^y(es)?$/i.test(answer)
  }

  /** All of stdin without the line end: how a program passes a secret. */
  async secretFromStdin(what: string): Promise<string> {
    let text = ''
    this.#stdin.setEncoding('utf8')
    for await (const chunk of this.#stdin) {
      text += chunk as string
      if (text.length > longestStdinSecret) throw new Failure('invalid_request', `Stdin holds more than a ${what}.`)
    }
    const secret = text.replace(/\r?\n$/, '')
    if (secret === '') throw new Failure('invalid_request', `Stdin is empty: it has to hold the ${what}.`)
    return secret
  }

  async #ask(question: string, output: NodeJS.WritableStream): Promise<string> {
    const readline = createInterface({ input: this.#stdin, output, terminal: true, historySize: 0 })
    readline.on('SIGINT', this.#interrupt)
    const ended = new Promise<never>((_, reject) => {
      readline.once('close', () => reject(new Failure('cancelled', 'No answer was given.')))
    })
    try {
      return await Promise.race([readline.question(question, { signal: this.#signal }), ended])
    } catch (error) {
      this.#signal.throwIfAborted()
      throw error
    } finally {
      ended.catch(() => undefined) // Closing below would otherwise count as an unhandled rejection.
      readline.close()
    }
  }
}
