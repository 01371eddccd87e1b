import { defineCommand } from '../command.ts'
import { safeText } from '../terminal/safe-text.ts'

export const whoami = defineCommand({
  name: 'whoami',
  summary: 'Show the account in use',
  usage: '',
  positionals: { min: 0, max: 0 },
  options: {},
  async run(context) {
    const { screen, settings } = context
    const client = await context.client()
    const user = await client.auth.verify()
    if (screen.json) return screen.document({ url: settings.url, ...user })
    screen.result(safeText(user.email))
    screen.note(`on ${settings.url}${user.administrator ? ', administrator' : ''}`)
  },
})
