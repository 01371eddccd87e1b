/**
 * Names what went wrong from the last output of a build, or of an application that ended at once: what is wrong and what
 * to change in one sentence, then the lines that say so.
 */
import { AppError } from '@coderunner/contract'
import type { FailureClass } from './failure-class.ts'
import { installFailures } from './install-failures.ts'
import { nodeFailures } from './node-failures.ts'
import { pythonFailures } from './python-failures.ts'

export interface FailedCommand {
  command: string
  exitCode: number
  /** The end of its output, oldest first. */
  lines: readonly string[]
  outOfMemory?: boolean
}

const outOfMemorySentence =
  'The build ran out of memory (2048 MB): let it do less at once, such as fewer workers or no source maps.'

const classes: readonly FailureClass[] = [
  {
    pattern: /JavaScript heap out of memory/,
    explain: () =>
      'Node ran out of memory for JavaScript: set the variable NODE_OPTIONS to --max-old-space-size=1792 (builders have 2048 MB), or let the build do less at once.',
  },
  {
    pattern: /Killed process|ENOMEM|Cannot allocate memory|exit(?:ed with)? (?:code|status) 137/,
    explain: () => outOfMemorySentence,
  },
  {
    pattern: /No space left on device|ENOSPC/,
    explain: () =>
      'The build ran out of disk space (4096 MB): write less, or take what is not needed out of the dependencies.',
  },
  ...pythonFailures,
  ...installFailures,
  ...nodeFailures,
  {
    pattern: /(?:^|\n)([^\n]{0,200}?error (?:TS\d+): [^\n]{1,200})/,
    explain: ([, line]) =>
      `TypeScript found errors, the first of them: ${line?.trim()}. Mend it, or build without checking types.`,
  },
  {
    pattern: /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH)\b(?: ([\w.:-]+))?/,
    explain: ([, code, where]) =>
      `The build could not reach ${where ?? 'another machine'} (${code}): see whether it is there while building, and open to sandboxes.`,
  },
  { pattern: /\bSyntaxError: (.*)/, explain: ([, what]) => `A file does not parse: ${what}` },
]

export function buildFailure({ command, exitCode, lines, outOfMemory = false }: FailedCommand): AppError {
  const plain = lines.map(plainLine)
  const found = outOfMemory ? undefined : explanation(classes, plain.join('\n'))
  const sentence = outOfMemory ? outOfMemorySentence : found?.sentence
  const head = `“${command}” ended with code ${exitCode}.${sentence === undefined ? '' : ` ${sentence}`}`
  const tail = meaningfulLines(plain, 12)
  const telling = found === undefined || tail.includes(found.line) ? [] : meaningfulLines([found.line], 1)
  return new AppError('build_failed', [head, ...telling, ...tail].join('\n'))
}

/** Of an application that ended before it answered: what is wrong and what to change, where its output says that. */
export function startFailure(lines: readonly string[]): string | undefined {
  return explanation(nodeFailures, lines.map(plainLine).join('\n'))?.sentence
}

function explanation(
  known: readonly FailureClass[],
  text: string,
): { sentence: string /** Where it is said. */; line: string } | undefined {
  for (const { pattern, explain } of known) {
    const found = pattern.exec(text)
    if (found === null) continue
    const start = text.startsWith('\n', found.index) ? found.index + 1 : text.lastIndexOf('\n', found.index) + 1
    return { sentence: explain(found), line: (text.slice(start).split('\n')[0] ?? '').slice(0, 300) }
  }
  return undefined
}

/** Nothing that tells the cause: empty lines, npm's advertising, frames inside Node, gyp's account of itself. */
const chatter = new RegExp(
  [
    /^\s*$/,
    /^npm notice/,
    /^npm (?:error|ERR!)(?: \d{3})?\s*$/,
    /^npm (?:error|ERR!) (?:A complete log|For a full report see)/,
    /^npm (?:error|ERR!)\s*\S*\/_logs\//,
    /^(?:npm (?:error|ERR!))?\s+at [^\n]*(?:node:[\w/]+:\d+|\/usr\/local\/lib\/)/,
    /^\s*\d+: 0x[0-9a-f]+ /,
    /^-+ Native stack trace -+$/,
    /gyp ERR! (?:System|command|cwd|node -v|node-gyp -v|\$npm_package_\w+|not ok|stack\s+at )/,
  ]
    .map(({ source }) => source)
    .join('|'),
)

/** The last lines that say something, bounded for a message. */
export function meaningfulLines(lines: readonly string[], count: number): string[] {
  return lines
    .map(line => plainLine(line).slice(0, 300))
    .filter(line => !chatter.test(line))
    .slice(-count)
}

// oxlint-disable-next-line no-control-regex -- colour sequences begin with one
const colour = /\u001b\[[0-9;]*[A-Za-z]/g

/** Without colours, and no longer than what is looked for in it. */
function plainLine(line: string): string {
  return line.slice(0, 2000).replace(colour, '').slice(0, 1000)
}
