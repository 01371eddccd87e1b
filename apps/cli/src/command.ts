import type { Client } from '@coderunner/client'
import type { Settings } from './config.ts'
import type { CredentialStore } from './credentials.ts'
import type { Prompt } from './terminal/prompt.ts'
import type { Screen } from './terminal/screen.ts'

export interface Option {
  type: 'string' | 'boolean'
  short?: string
  multiple?: true
  /** Placeholder of the value in the help. */
  value?: string
  help: string
}
export type OptionTable = Record<string, Option>

export type Options<T extends OptionTable> = {
  [K in keyof T]?: T[K]['type'] extends 'boolean' ? boolean : T[K] extends { multiple: true } ? string[] : string
}

/** Options of every command. */
export const commonOptions = {
  json: { type: 'boolean', help: 'Machine-readable output on stdout' },
  quiet: { type: 'boolean', short: 'q', help: 'Only results and errors' },
  yes: { type: 'boolean', short: 'y', help: 'Do not ask, go on' },
  url: { type: 'string', value: 'URL', help: 'Server to talk to (CODERUNNER_URL)' },
  help: { type: 'boolean', short: 'h', help: 'This help' },
} as const satisfies OptionTable

export interface Invocation<T extends OptionTable = OptionTable> {
  positionals: string[]
  options: Options<T> & Options<typeof commonOptions>
}

export interface CommandContext {
  settings: Settings
  screen: Screen
  prompt: Prompt
  credentials: CredentialStore
  /** Aborted by the first Ctrl-C or SIGTERM; the reason is an `Interrupted`. */
  signal: AbortSignal
  cwd: string
  /** The client of the chosen server with the user's token; fails when there is none. */
  client: (choice?: ClientChoice) => Promise<Client>
  /** A client with no token but this. */
  anonymousClient: (token?: string) => Client
}

export interface ClientChoice {
  /** Keeps calls going after Ctrl-C: for cleaning up. */
  outliveInterrupt?: boolean
  /** Goes on without a token where there is none. */
  tokenOptional?: boolean
  /** Lets an answer be silent for as long as it takes. */
  patient?: boolean
}

export interface Command<T extends OptionTable = OptionTable> {
  name: string
  aliases?: readonly string[]
  summary: string
  /** What follows the name, in the help; several lines for several forms. */
  usage: string
  /** Paragraphs below the options. */
  notes?: readonly string[]
  /** How many arguments it takes. */
  positionals: { min: number; max: number }
  options: T
  /** Exit code, 0 when nothing is returned. */
  run(context: CommandContext, invocation: Invocation<T>): Promise<number | void>
}

/** Gives a command's options their types. */
export function defineCommand<const T extends OptionTable>(command: Command<T>): Command {
  return command
}
