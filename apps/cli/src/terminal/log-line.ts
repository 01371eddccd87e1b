import type { LogEntry } from '@coderunner/client'
import { safeText } from './safe-text.ts'

const nameColours = [36, 35, 34, 33, 32]

/** One record as a line: `12:30:01.123 web.1 │ text`; lines of CodeRunner itself and of builds carry their source. */
export function logLine(entry: LogEntry, { colours, time }: { colours: boolean; time: boolean }): string {
  const name = safeText(entry.instance === '' ? entry.source : entry.instance)
  const stamp = time ? `${new Date(entry.time).toISOString().slice(11, 23)} ` : ''
  const message = safeText(entry.message, { colours })
  if (!colours) return `${stamp}${name} | ${message}`
  return `\u001b[2m${stamp}\u001b[22m\u001b[${colourOf(name)}m${name}\u001b[39m \u001b[2m│\u001b[22m ${message}`
}

/** The same name has the same colour everywhere. */
function colourOf(name: string): number {
  let sum = 0
  for (const character of name) sum += character.charCodeAt(0)
  return nameColours[sum % nameColours.length] ?? 36
}
