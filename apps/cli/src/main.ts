import { readFile } from 'node:fs/promises'
import { type ClientOptions, createClient } from '@coderunner/client'
import type { ClientChoice, Command, CommandContext } from './command.ts'
import { readCommandLine } from './command-line.ts'
import { findCommand } from './command-table.ts'
import { readConfig, readServerUrl, type Settings } from './config.ts'
import { CredentialStore } from './credentials.ts'
import { Failure, Interrupted } from './failure.ts'
import { commandHelp, generalHelp } from './help.ts'
import { reportError } from './report-error.ts'
import { Prompt } from './terminal/prompt.ts'
import { safeText } from './terminal/safe-text.ts'
import { Screen } from './terminal/screen.ts'
import { UsageError } from './usage-error.ts'

/** Two signals this close are one: a terminal and a parent process both pass Ctrl-C on. */
const doubleSignalMs = 200

/** Runs one command line and gives its exit code: 0 done, 1 failed, 2 not understood, 126 too late, 130 Ctrl-C. */
export async function main(argv: readonly string[] = process.argv.slice(2)): Promise<number> {
  const interruption = listenForSignals()
  // Whoever reads has seen enough (`| head`).
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const json = argv.includes('--json') && !argv.slice(0, argv.indexOf('--json')).includes('--')
  try {
    return await dispatch(argv, interruption)
  } catch (error) {
    return reportError(interruption.signal.aborted ? interruption.signal.reason : error, json)
  }
}

async function dispatch([name, ...args]: readonly string[], interruption: AbortController): Promise<number> {
  if (name === undefined) {
    process.stderr.write(`${generalHelp()}\n`)
    return 2
  }
  if (name === '--version' || name === '-V' || name === 'version') return print(await version())
  if (name === '--help' || name === '-h' || (name === 'help' && args.length === 0)) return print(generalHelp())
  if (name === 'help') return print(commandHelp(commandNamed(args[0] ?? '')))
  const command = commandNamed(name)
  const invocation = readCommandLine(command, args)
  if (invocation.options.help === true) return print(commandHelp(command))
  const config = readConfig()
  const { url } = invocation.options
  const settings = url === undefined ? config : { ...config, url: readServerUrl(url, '--url') }
  using screen = screenFor(settings, invocation.options)
  const context = contextFor(settings, screen, interruption)
  return (await command.run(context, invocation)) ?? 0
}

function commandNamed(name: string): Command {
  const command = findCommand(name)
  if (command === undefined)
    throw new UsageError(`There is no command “${safeText(name)}”. \`coderunner help\` lists them.`)
  return command
}

function screenFor(settings: Settings, options: { quiet?: boolean; json?: boolean }): Screen {
  const { stdout, stderr } = process
  const live = stderr.isTTY && !settings.ci && !settings.dumbTerminal
  return new Screen({
    stdout,
    stderr,
    live,
    colour: live && !settings.noColour,
    quiet: options.quiet === true,
    json: options.json === true,
  })
}

function contextFor(settings: Settings, screen: Screen, interruption: AbortController): CommandContext {
  const { stdin, stderr } = process
  const { signal } = interruption
  const credentials = new CredentialStore(settings.credentialsFile)
  return {
    settings,
    screen,
    credentials,
    signal,
    cwd: process.cwd(),
    prompt: new Prompt({
      interactive: stdin.isTTY && stderr.isTTY && !settings.ci,
      stdin,
      stderr,
      signal,
      interrupt: () => interruption.abort(new Interrupted('SIGINT')),
    }),
    anonymousClient: token => createClient({ baseUrl: settings.url, token, signal }),
    client: async (choice = {}) => {
      const token = settings.token ?? (await credentials.find(settings.url))?.token
      if (token === undefined && choice.tokenOptional !== true)
        throw new Failure('unauthenticated', `Not logged in to ${settings.url}.`, {
          hint: 'Run `coderunner login` (or `register` for a new account), or set CODERUNNER_TOKEN.',
        })
      return createClient({ baseUrl: settings.url, token, ...(await choiceOptions(choice, signal)) })
    },
  }
}

async function choiceOptions(choice: ClientChoice, signal: AbortSignal): Promise<Partial<ClientOptions>> {
  const common = choice.outliveInterrupt === true ? {} : { signal }
  if (choice.patient !== true) return common
  // Node's own fetch gives up after five silent minutes and cannot be told otherwise. Loaded only where that matters.
  const { Agent, fetch: undiciFetch } = await import('undici')
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
  const patientFetch = ((input: never, init: object) => undiciFetch(input, { ...init, dispatcher })) as unknown
  return { ...common, fetch: patientFetch as typeof fetch }
}

function print(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

async function version(): Promise<string> {
  const manifest = await readFile(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** The first signal ends the command in an orderly way, the second at once. */
function listenForSignals(): AbortController {
  const controller = new AbortController()
  let firstAt = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      const interrupted = new Interrupted(signal)
      if (controller.signal.aborted && Date.now() - firstAt > doubleSignalMs) process.exit(interrupted.exitCode)
      if (controller.signal.aborted) return
      firstAt = Date.now()
      controller.abort(interrupted)
    })
  return controller
}
