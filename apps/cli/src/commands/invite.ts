import { defineCommand } from '../command.ts'

export const invite = defineCommand({
  name: 'invite',
  summary: 'Let somebody register on this server (administrators)',
  usage: '',
  notes: ['Prints a secret, this once, for `coderunner register --invitation SECRET`.'],
  positionals: { min: 0, max: 0 },
  options: {},
  async run({ client, screen }) {
    const invitation = await (await client()).auth.invite()
    if (screen.json) return screen.document(invitation)
    screen.result(invitation.invitation)
    screen.note(`Good until ${invitation.expiresAt}.`)
  },
})
