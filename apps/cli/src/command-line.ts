import { parseArgs } from 'node:util'
import { type Command, commonOptions, type Invocation, type OptionTable } from './command.ts'
import { readDurationMs } from './duration.ts'
import { UsageError } from './usage-error.ts'

/**
 * Reads a command's own part of the command line. What follows `--` is an argument whatever it looks like; everything
 * else that begins with a dash has to be a known option.
 */
export function readCommandLine(command: Command, args: readonly string[]): Invocation {
  const table: OptionTable = { ...command.options, ...commonOptions }
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short !== undefined && { short }), ...(multiple !== undefined && { multiple }) },
    ]),
  )
  let parsed: { values: object; positionals: string[] }
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    throw new UsageError(sentence(error), command.name)
  }
  const { positionals } = parsed
  const invocation = { positionals, options: parsed.values } as Invocation
  if (invocation.options.help === true) return invocation
  if (positionals.length < command.positionals.min)
    throw new UsageError(`Something is missing: coderunner ${command.name} ${firstLine(command.usage)}`, command.name)
  if (positionals.length > command.positionals.max)
    throw new UsageError(
      `“${positionals[command.positionals.max]}” is one argument too many: coderunner ${command.name} ${firstLine(command.usage)}`,
      command.name,
    )
  return invocation
}

export function readInteger(text: string, option: string, { min, max }: { min: number; max: number }): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max))
    throw new UsageError(`${option} takes a whole number from ${min} to ${max}, not “${text}”.`)
  return value
}

export function readDurationOption(text: string | undefined, option: string): number | undefined {
  return text === undefined ? undefined : readDurationMs(text, option)
}

export function readChoice<T extends string>(text: string, option: string, choices: readonly T[]): T {
  if (!(choices as readonly string[]).includes(text))
    throw new UsageError(`${option} takes ${choices.join(', ')}, not “${text}”.`)
  return text as T
}

/** `K=V` pairs, the later one winning. */
export function readVariables(pairs: readonly string[]): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const pair of pairs) {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]{0,127})=(.*)$/s.exec(pair) ?? []
    // The pair may hold a secret with a typing error: only what stands before a `=` is repeated.
    if (name === undefined || value === undefined)
      throw new UsageError(`--env takes NAME=VALUE, not “${pair.includes('=') ? `${pair.split('=')[0]}=…` : '…'}”.`)
    variables[name] = value
  }
  return variables
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? ''
}

function sentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.split('. To specify a positional')[0] ?? message
}
