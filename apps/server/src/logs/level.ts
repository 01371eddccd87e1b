import type { LogLevel } from '@coderunner/contract'

const words: Record<string, LogLevel> = {
  trace: 'trace',
  silly: 'trace',
  verbose: 'debug',
  finest: 'trace',
  debug: 'debug',
  dbg: 'debug',
  fine: 'debug',
  info: 'info',
  information: 'info',
  notice: 'info',
  log: 'info',
  http: 'info',
  success: 'info',
  warn: 'warn',
  warning: 'warn',
  wrn: 'warn',
  deprecated: 'warn',
  error: 'error',
  err: 'error',
  severe: 'error',
  eror: 'error',
  fatal: 'fatal',
  critical: 'fatal',
  crit: 'fatal',
  panic: 'fatal',
  emerg: 'fatal',
  emergency: 'fatal',
  alert: 'fatal',
}

/** syslog's `<3>` at the beginning of a line, as systemd reads it. */
const syslogLevels: LogLevel[] = ['fatal', 'fatal', 'fatal', 'error', 'warn', 'info', 'info', 'debug']

const escape = '\x1b'
const ansi = new RegExp(`${escape}\\[[0-9;]*m`, 'g')
const jsonLevel = /"(?:level|severity|lvl|log\.level|levelname)"\s*:\s*(?:"([A-Za-z]{2,12})"|(\d{1,3})\b)/
const jsonNamedLevel = /"(?:level|severity)"\s*:\s*\{[^}]*"name"\s*:\s*"([A-Za-z]{2,12})"/

const plain = new RegExp(
  [
    // <3> of syslog
    '^<(?<syslog>[0-7])>',
    // [error], [Nest] … [WARN]
    '\\[\\s*(?<bracketed>trace|debug|dbg|info|notice|warn|warning|wrn|error|err|fatal|critical|crit|panic|emerg|alert)\\s*\\]',
    // level=error
    '\\b(?:level|lvl|severity)=(?:"|\')?(?<logfmt>[a-z]{3,12})\\b',
    // error: …, npm warn …, npm ERR! …
    '^\\s*(?:npm (?<npm>warn|error|err|notice)\\b|(?<prefix>trace|debug|info|warn|warning|error|err|fatal|panic)\\s*(?::|\\s-\\s))',
    // (node:1) DeprecationWarning: …, (node:1) Warning: …
    '^\\s*(?<nodewarning>\\(node:\\d+\\).*?Warning:)',
    // TypeError: …, java.lang.IllegalStateException: …, Uncaught …, Traceback (most recent call last)
    '^\\s*(?<thrown>(?:Uncaught |Unhandled|\\(node:\\d+\\) Unhandled|Traceback \\(most recent call last\\)|(?:[\\w.$]+\\.)?(?:[A-Z]\\w*)?(?:Error|Exception)\\b(?: \\[[A-Z_0-9]+\\])?:))',
  ].join('|'),
  'i',
)
/** Only as whole words in capitals: in small letters these words stand in any sentence. */
const capitals = /\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|FATAL|CRITICAL|CRIT|PANIC|EMERG)\b/

/**
 * The level a line claims for itself: the field of a JSON line (pino and bunyan numbers, winston and other words), or the
 * usual marks of a text line. A line without a mark is `info`, also on stderr, where many programs write everything.
 * Only the first 512 characters are looked at.
 */
export function levelOfLine(line: string): LogLevel {
  const head = line.length > 512 ? line.slice(0, 512) : line
  if (head.charCodeAt(0) === 123) return levelOfJson(head) ?? 'info'
  const text = head.includes(escape) ? head.replace(ansi, '') : head
  const groups = plain.exec(text)?.groups
  if (groups !== undefined) {
    if (groups['syslog'] !== undefined) return syslogLevels[Number(groups['syslog'])] ?? 'info'
    if (groups['nodewarning'] !== undefined) return 'warn'
    if (groups['thrown'] !== undefined) return 'error'
    const word = groups['bracketed'] ?? groups['logfmt'] ?? groups['npm'] ?? groups['prefix'] ?? ''
    const level = words[word.toLowerCase()]
    if (level !== undefined) return level
  }
  const word = capitals.exec(text)?.[1]
  return word === undefined ? 'info' : (words[word.toLowerCase()] ?? 'info')
}

function levelOfJson(head: string): LogLevel | undefined {
  const found = jsonLevel.exec(head) ?? jsonNamedLevel.exec(head)
  if (found === null) return undefined
  if (found[1] !== undefined) return words[found[1].toLowerCase()]
  return levelOfNumber(Number(found[2]))
}

/** pino and bunyan: 10 trace to 60 fatal, those between belong to the level below. Numbers up to 7 are syslog's. */
function levelOfNumber(number: number): LogLevel {
  if (number <= 7) return syslogLevels[number] ?? 'info'
  if (number < 20) return 'trace'
  if (number < 30) return 'debug'
  if (number < 40) return 'info'
  if (number < 50) return 'warn'
  return number < 60 ? 'error' : 'fatal'
}
