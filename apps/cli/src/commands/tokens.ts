import { defineCommand } from '../command.ts'
import { readDurationOption } from '../command-line.ts'
import { formatAge } from '../duration.ts'
import { safeText } from '../terminal/safe-text.ts'
import { UsageError } from '../usage-error.ts'
import { collected } from './collected.ts'

const dayMs = 86_400_000

export const tokens = defineCommand({
  name: 'tokens',
  summary: 'List, create and revoke API tokens',
  usage: '[list]\ncreate NAME [--expires 30d]\nrevoke ID',
  notes: ['A new token is printed on stdout, this once. Programs use it as CODERUNNER_TOKEN.'],
  positionals: { min: 0, max: 2 },
  options: { expires: { type: 'string', value: 'TIME', help: 'Days until it ends, such as 30d (default: never)' } },
  async run(context, { options, positionals: [verb = 'list', argument] }) {
    const { screen } = context
    if (verb === 'list' && argument === undefined) {
      const client = await context.client()
      const list = await collected(client.tokens.list())
      if (screen.json) return screen.document(list)
      if (list.length === 0) return screen.note('No API tokens.')
      const age = (time: string | undefined) => (time === undefined ? '-' : formatAge(Date.now() - Date.parse(time)))
      return screen.table([
        ['ID', 'NAME', 'AGE', 'USED', 'EXPIRES'],
        ...list.map(token => [
          token.id,
          safeText(token.name),
          age(token.createdAt),
          age(token.lastUsedAt),
          token.expiresAt?.slice(0, 10) ?? 'never',
        ]),
      ])
    }
    if (argument === undefined || (verb !== 'create' && verb !== 'revoke'))
      throw new UsageError('coderunner tokens [list] | create NAME [--expires 30d] | revoke ID', 'tokens')
    const expiresMs = readDurationOption(options.expires, '--expires')
    const client = await context.client()
    if (verb === 'revoke') {
      await client.tokens.revoke(argument)
      return screen.json ? screen.document({ revoked: argument }) : screen.note(`Revoked ${safeText(argument)}.`)
    }
    const expiresInDays = expiresMs && Math.max(1, Math.round(expiresMs / dayMs))
    const created = await client.tokens.create({ name: argument, ...(expiresInDays && { expiresInDays }) })
    if (screen.json) return screen.document(created)
    screen.result(created.token)
    screen.note('It is not shown again.')
  },
})
