import { ApiError } from '@coderunner/client'
import { type CommandContext, defineCommand, type Invocation, type OptionTable } from '../command.ts'
import { Failure } from '../failure.ts'
import { safeText } from '../terminal/safe-text.ts'
import { UsageError } from '../usage-error.ts'

const accountOptions = {
  email: { type: 'string', value: 'EMAIL', help: 'Account to log in to' },
  'password-stdin': { type: 'boolean', help: 'Read the password from stdin' },
} as const satisfies OptionTable

export const login = defineCommand({
  name: 'login',
  summary: 'Log in to a server and remember it',
  usage: '[--email EMAIL [--password-stdin]] [--token TOKEN]',
  notes: ['Scripts need no log-in: they set CODERUNNER_URL and CODERUNNER_TOKEN (see `coderunner tokens`).'],
  positionals: { min: 0, max: 0 },
  options: {
    ...accountOptions,
    token: { type: 'string', value: 'TOKEN', help: 'Use this API token; - reads it from stdin' },
  },
  async run(context, { options }) {
    if (options.token === undefined) {
      const { email, password } = await askAccount(context, options, 'login')
      return logIn(context, email, password)
    }
    const token = options.token === '-' ? await context.prompt.secretFromStdin('token') : options.token.trim()
    if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError('--token is not a token: it has no spaces.', 'login')
    const { email } = await context.anonymousClient(token).auth.verify()
    await context.credentials.put(context.settings.url, { kind: 'token', token, email })
    announce(context, email)
  },
})

export const register = defineCommand({
  name: 'register',
  summary: 'Make an account and log in',
  usage: '[--email EMAIL [--password-stdin]] [--invitation SECRET]',
  positionals: { min: 0, max: 0 },
  options: {
    ...accountOptions,
    name: { type: 'string', value: 'NAME', help: 'How to call you' },
    invitation: { type: 'string', value: 'SECRET', help: 'From an administrator, where that is needed' },
    'setup-token': { type: 'string', value: 'TOKEN', help: 'Printed by a new server that is open to the network' },
  },
  async run(context, { options }) {
    const { email, password } = await askAccount(context, options, 'register')
    const { name, invitation, 'setup-token': setupToken } = options
    await context.anonymousClient().auth.register({
      email,
      password,
      ...(name !== undefined && { name }),
      ...(invitation !== undefined && { invitation }),
      ...(setupToken !== undefined && { setupToken }),
    })
    await logIn(context, email, password)
  },
})

async function askAccount(
  { prompt }: CommandContext,
  options: Invocation<typeof accountOptions>['options'],
  command: string,
): Promise<{ email: string; password: string }> {
  const fromStdin = options['password-stdin'] === true
  if (!prompt.interactive && (options.email === undefined || !fromStdin))
    throw new UsageError(
      'Without a terminal: --email EMAIL --password-stdin, or `coderunner login --token -`.',
      command,
    )
  const email = options.email ?? (fromStdin ? '' : await prompt.text('E-mail'))
  if (email === '') throw new UsageError('An e-mail address is needed: --email EMAIL.', command)
  if (fromStdin) return { email, password: await prompt.secretFromStdin('password') }
  const password = await prompt.secret('Password')
  if (command === 'register' && (await prompt.secret('Password again')) !== password)
    throw new Failure('invalid_request', 'The two passwords differ.')
  return { email, password }
}

async function logIn(context: CommandContext, email: string, password: string): Promise<void> {
  const { token } = await context
    .anonymousClient()
    .auth.login({ email, password })
    .catch((error: unknown) => {
      // Said here, where the usual hint (log in) would make no sense.
      throw error instanceof ApiError && error.status === 401 ? new Failure(error.code, safeText(error.detail)) : error
    })
  await context.credentials.put(context.settings.url, { kind: 'session', token, email })
  announce(context, email)
}

function announce({ screen, settings }: CommandContext, email: string): void {
  if (screen.json) screen.document({ url: settings.url, email })
  else screen.note(`Logged in to ${settings.url} as ${email}.`)
  if (settings.token !== undefined) screen.warn('CODERUNNER_TOKEN is set and goes before this log-in.')
}
