import { defineCommand } from '../command.ts'
import { formatDuration } from '../duration.ts'
import { safeText } from '../terminal/safe-text.ts'

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Check the server and everything it needs',
  usage: '',
  notes: ['Exit code 1 when something is wrong.'],
  positionals: { min: 0, max: 0 },
  options: {},
  async run(context) {
    const { screen, settings } = context
    const client = await context.client({ tokenOptional: true })
    const health = await client.health()
    if (screen.json) screen.document({ url: settings.url, ...health })
    else {
      screen.result(
        `CodeRunner ${safeText(health.version)} at ${settings.url}, up ${formatDuration(health.uptimeSeconds * 1000)}`,
      )
      for (const { name, ok, detail } of health.checks)
        screen.result(`${ok ? '✓' : '✗'} ${safeText(name)}${detail === undefined ? '' : `: ${safeText(detail)}`}`)
    }
    return health.status === 'ok' ? 0 : 1
  },
})
