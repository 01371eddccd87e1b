/** Names what went wrong in a build from its last output: the class of error, what to do, the lines that say so. */
import { AppError } from '@coderunner/contract'
import { pythonFailures } from './python-failures.ts'

export interface FailedCommand {
  command: string
  exitCode: number
  /** The end of its output, oldest first. */
  lines: readonly string[]
  outOfMemory?: boolean
}

interface FailureClass {
  pattern: RegExp
  explain: (found: RegExpExecArray) => string
}

const classes: readonly FailureClass[] = [
  {
    pattern: /JavaScript heap out of memory|Killed process|ENOMEM/,
    explain: () => 'The build ran out of memory (2048 MB).',
  },
  { pattern: /No space left on device|ENOSPC/, explain: () => 'The build ran out of disk space.' },
  ...pythonFailures,
  {
    pattern: /[Mm]issing script: "?([\w:.-]+)"?/,
    explain: ([, script]) => `package.json has no script “${script}”: add it, or take out what calls it.`,
  },
  {
    pattern: /npm error code (ERESOLVE)/,
    explain: () => 'The dependencies contradict each other (peer dependencies): see below which.',
  },
  {
    pattern:
      /npm error (?:code E404|404)[\s\S]*?'?((?:@[\w.-]+\/)?[\w.-]+@[^\s']+)'? (?:is not in this registry|could not be found)/,
    explain: ([, what]) => `The registry has no ${what}: look for a typing mistake, or for a private package.`,
  },
  {
    pattern: /npm error code (ETARGET|E404)/,
    explain: () => 'A dependency is not in the registry in the version asked for.',
  },
  {
    pattern: /npm error code (E401|E403|ENEEDAUTH)/,
    explain: () => 'The registry refused access: a private package needs a token in .npmrc.',
  },
  {
    pattern: /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH)\b/,
    explain: ([, code]) => `The package registry could not be reached (${code}): check the network of the host.`,
  },
  {
    pattern: /npm error code (EBADENGINE|EBADPLATFORM)/,
    explain: () => 'A dependency does not run on this version of Node or on Linux.',
  },
  { pattern: /npm error code (EINTEGRITY)/, explain: () => 'A package is not the one that the lock file names.' },
  { pattern: /gyp ERR!/, explain: () => 'A dependency has to be compiled, and that failed.' },
  {
    pattern: /(?:sh: \d+: |sh: |bash: )([\w.-]+): (?:command )?not found/,
    explain: ([, program]) => `The program “${program}” is not there: is it among the dependencies?`,
  },
  { pattern: /error (TS\d+): /, explain: () => 'TypeScript found errors.' },
  { pattern: /\bSyntaxError: (.*)/, explain: ([, what]) => `A file does not parse: ${what}` },
]

export function buildFailure({ command, exitCode, lines, outOfMemory = false }: FailedCommand): AppError {
  const text = lines.join('\n')
  const cause = outOfMemory ? 'The build ran out of memory (2048 MB).' : explanation(text)
  const head = `“${command}” ended with code ${exitCode}.${cause === undefined ? '' : ` ${cause}`}`
  const tail = meaningfulLines(lines, 12)
  return new AppError('build_failed', tail.length === 0 ? head : `${head}\n${tail.join('\n')}`)
}

function explanation(text: string): string | undefined {
  for (const { pattern, explain } of classes) {
    const found = pattern.exec(text)
    if (found !== null) return explain(found)
  }
  return undefined
}

const chatter =
  /^\s*$|^npm (?:error|ERR!) A complete log|^npm (?:error|ERR!)\s*\S*\/_logs\/|^npm notice|^npm (?:error|ERR!)\s*$/

/** The last lines that say something, bounded for a message. */
export function meaningfulLines(lines: readonly string[], count: number): string[] {
  return (
    lines
      // oxlint-disable-next-line no-control-regex -- colour sequences begin with one
      .map(line => line.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '').slice(0, 300))
      .filter(line => !chatter.test(line))
      .slice(-count)
  )
}
