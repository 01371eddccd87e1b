import { safeText } from './safe-text.ts'

export interface ScreenOptions {
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
  /** Colours on stderr, and on stdout when it is a terminal too. */
  colour: boolean
  /** Somebody watches stderr: a line may be drawn over. */
  live: boolean
  quiet: boolean
  json: boolean
}

const styles = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
} as const
export type Style = keyof typeof styles

const frames = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
const frameMs = 100

/**
 * Where everything is printed. Results go to stdout; what is said on the way goes to stderr, where on a terminal one
 * last line shows what is going on.
 */
export class Screen implements Disposable {
  readonly json: boolean
  readonly quiet: boolean
  readonly live: boolean
  readonly #stdout: NodeJS.WriteStream
  readonly #stderr: NodeJS.WriteStream
  readonly #colour: boolean
  #activity: (() => string) | undefined
  #timer: NodeJS.Timeout | undefined
  #frame = 0

  constructor({ stdout, stderr, colour, live, quiet, json }: ScreenOptions) {
    this.#stdout = stdout
    this.#stderr = stderr
    this.#colour = colour
    this.live = live && !quiet
    this.quiet = quiet
    this.json = json
  }

  /** Whether colours may stand in lines of stdout. */
  get colourOnStdout(): boolean {
    return this.#colour && this.#stdout.isTTY
  }

  get columns(): number {
    return this.#stderr.columns || 80
  }

  /** A line of the result. Text from elsewhere goes through `safeText` first. */
  result(line: string): void {
    this.#clear()
    this.#stdout.write(`${line}\n`)
    this.#draw()
  }

  /** A result for programs, in one line. */
  document(value: unknown): void {
    this.result(JSON.stringify(value))
  }

  /** Rows with aligned columns, the first row being the heading. */
  table(rows: readonly (readonly string[])[]): void {
    const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), [])
    for (const [number, row] of rows.entries()) {
      const line = row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('   ')
        .trimEnd()
      this.result(number === 0 && this.colourOnStdout ? this.#paint('dim', line) : line)
    }
  }

  /** Said on the way; silent with --quiet. */
  note(line: string): void {
    if (!this.quiet) this.#say(line)
  }

  warn(line: string): void {
    this.#say(`${this.style('yellow', 'Warning:')} ${line}`)
  }

  /** Styled for stderr. */
  style(style: Style, text: string): string {
    return this.#colour ? this.#paint(style, text) : text
  }

  /** A line of a program's output among the notes. */
  outputLine(text: string, { always = false }: { always?: boolean } = {}): void {
    if (this.quiet && !always) return
    this.#say(`  ${this.style('dim', '│')} ${safeText(text, { colours: this.#colour })}`)
  }

  /** Shows what is going on until it is called again; on a terminal only. */
  activity(describe: (() => string) | undefined): void {
    this.#clear()
    this.#activity = describe
    clearInterval(this.#timer)
    this.#timer = undefined
    if (describe === undefined || !this.live) return
    this.#timer = setInterval(() => {
      this.#frame++
      this.#clear()
      this.#draw()
    }, frameMs)
    this.#timer.unref()
    this.#draw()
  }

  [Symbol.dispose](): void {
    this.activity(undefined)
  }

  #say(line: string): void {
    this.#clear()
    this.#stderr.write(`${line}\n`)
    this.#draw()
  }

  #draw(): void {
    if (this.#timer === undefined || this.#activity === undefined) return
    const text = `${frames[this.#frame % frames.length]} ${this.#activity()}`.slice(0, this.columns - 1)
    this.#stderr.write(this.style('cyan', text))
  }

  #clear(): void {
    if (this.#timer !== undefined) this.#stderr.write('\r\u001b[K')
  }

  #paint(style: Style, text: string): string {
    const [on, off] = styles[style]
    return `\u001b[${on}m${text}\u001b[${off}m`
  }
}
