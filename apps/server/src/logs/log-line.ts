/**
 * A record as one line of a segment file:
 *
 *     <time, 13 digits> <level, source, stream: a letter each> <cursor> <deployment|-> <instance|-> <message>\n
 *
 * The leading fields have fixed places, so that a filter looks at a line without parsing it, and `grep` and `less` work
 * on the files. A newline within a message is written as DLE n; nothing else is changed, ANSI sequences are kept.
 */
import { type LogLevel, type LogRecord, type LogSource, logLevels, logSources } from '@coderunner/contract'

export type LogEntry = Omit<LogRecord, 'cursor'>

/** Bytes of a message that are kept. */
export const maxMessageBytes = 64 * 1024

const levelLetters = 'tdiwef'
const sourceLetters = 'rbs'
const firstTime = 1_000_000_000_000
const lastTime = 9_999_999_999_999

const linePattern = /^\d{13} [tdiwef][rbs][oe] (\d{1,16}) [!-~]+ [!-~]+ /

export const levelRank = Object.fromEntries(logLevels.map((level, index) => [level, index])) as Record<LogLevel, number>
export const sourceRank = Object.fromEntries(logSources.map((source, index) => [source, index])) as Record<
  LogSource,
  number
>

const flags = new Map<string, string>(
  logLevels.flatMap((level, l) =>
    logSources.flatMap((source, s) =>
      (['stdout', 'stderr'] as const).map(
        stream => [`${level}${source}${stream}`, `${levelLetters[l]}${sourceLetters[s]}${stream[3]}`] as const,
      ),
    ),
  ),
)

export function encodeLine(entry: LogEntry, cursor: number): string {
  // 'stdout'[3] is o and 'stderr'[3] is e.
  const letters = flags.get(entry.level + entry.source + entry.stream)
  if (letters === undefined) throw new TypeError(`Not a log record: ${entry.level} ${entry.source} ${entry.stream}`)
  return `${entry.time} ${letters} ${cursor} ${entry.deploymentId || '-'} ${entry.instance || '-'} ${escape(entry.message)}\n`
}

/** Brings a record within what a line can hold. */
export function boundEntry(entry: LogEntry): LogEntry {
  const time = Math.trunc(Math.min(Math.max(entry.time, firstTime), lastTime))
  const message = boundMessage(entry.message)
  for (const word of [entry.deploymentId, entry.instance]) assertWord(word)
  return time === entry.time && message === entry.message ? entry : { ...entry, time, message }
}

const goodWords = new Set<string>()
function assertWord(word: string): void {
  if (goodWords.has(word)) return
  if (!/^[!-~]{0,100}$/.test(word)) throw new TypeError(`Not a deployment id or instance name: ${JSON.stringify(word)}`)
  if (goodWords.size > 1000) goodWords.clear()
  goodWords.add(word)
}

function boundMessage(message: string): string {
  // A UTF-16 unit is at most three bytes of UTF-8.
  if (message.length * 3 <= maxMessageBytes) return message
  const bytes = Buffer.byteLength(message)
  if (bytes <= maxMessageBytes) return message
  const kept = Buffer.from(message)
    .toString('utf8', 0, maxMessageBytes - 40)
    .replace(/\ufffd+$/, '')
  return `${kept} … [${bytes - Buffer.byteLength(kept)} bytes cut]`
}

const dle = '\x10'
const escaped = new RegExp(`${dle}(.)`, 'g')

export function escape(message: string): string {
  if (!message.includes('\n') && !message.includes(dle)) return message
  return message.replaceAll(dle, dle + dle).replaceAll('\n', `${dle}n`)
}

function unescape(message: string): string {
  if (!message.includes(dle)) return message
  return message.replace(escaped, (_, letter: string) => (letter === 'n' ? '\n' : letter))
}

export const timeOf = (line: string) => Number(line.slice(0, 13))
export const levelOf = (line: string) => levelLetters.indexOf(line.charAt(14))
export const sourceOf = (line: string) => sourceLetters.indexOf(line.charAt(15))
export const cursorOf = (line: string) => Number(line.slice(18, line.indexOf(' ', 18)))

/** The cursor of a whole line, or undefined when the line is damaged. Takes bytes read as latin1 too. */
export function checkedCursor(line: string): number | undefined {
  const cursor = linePattern.exec(line)?.[1]
  return cursor === undefined ? undefined : Number(cursor)
}

/** The three places after the cursor: where the deployment, the instance and the message begin. */
export function placesOf(line: string): { deployment: number; instance: number; message: number } {
  const deployment = line.indexOf(' ', 18) + 1
  const instance = line.indexOf(' ', deployment) + 1
  return { deployment, instance, message: line.indexOf(' ', instance) + 1 }
}

export function decodeLine(line: string): LogRecord {
  const { deployment, instance, message } = placesOf(line)
  const word = (from: number, to: number) => (line.slice(from, to) === '-' ? '' : line.slice(from, to))
  return {
    cursor: cursorOf(line),
    time: timeOf(line),
    source: logSources[sourceOf(line)] ?? 'system',
    deploymentId: word(deployment, instance - 1),
    instance: word(instance, message - 1),
    stream: line[16] === 'e' ? 'stderr' : 'stdout',
    level: logLevels[levelOf(line)] ?? 'info',
    message: unescape(line.slice(message)),
  }
}
