import { ApiError } from '@coderunner/client'
import { defineCommand } from '../command.ts'

export const logout = defineCommand({
  name: 'logout',
  summary: 'End the session and forget it',
  usage: '',
  positionals: { min: 0, max: 0 },
  options: {},
  async run({ credentials, settings, screen, anonymousClient }) {
    const stored = await credentials.find(settings.url)
    if (stored?.kind === 'session') {
      try {
        await anonymousClient(stored.token).auth.logout()
      } catch (error) {
        // A session that has ended already needs no ending; anything else is told, and the token kept for another try.
        if (!(error instanceof ApiError && error.status === 401)) throw error
      }
    }
    await credentials.remove(settings.url)
    if (screen.json) screen.document({ url: settings.url, loggedOut: stored !== undefined })
    else screen.note(stored === undefined ? `Not logged in to ${settings.url}.` : `Logged out of ${settings.url}.`)
  },
})
