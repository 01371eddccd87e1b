import { roles } from '@coderunner/contract/roles'
import { defineCommand } from '../command.ts'
import { readChoice } from '../command-line.ts'
import { existingProject } from '../deployment/choose-project.ts'
import { Failure } from '../failure.ts'
import { safeText } from '../terminal/safe-text.ts'
import { UsageError } from '../usage-error.ts'
import { collected } from './collected.ts'

export const members = defineCommand({
  name: 'members',
  summary: 'List, add and remove members of a project',
  usage: '[list] --project NAME\nadd EMAIL ROLE --project NAME\nremove EMAIL --project NAME',
  notes: [`Roles: ${roles.join(', ')}. Adding a member again changes the role.`],
  positionals: { min: 0, max: 3 },
  options: { project: { type: 'string', short: 'p', value: 'NAME', help: 'Project' } },
  async run(context, { options, positionals: [verb = 'list', email, role] }) {
    const { screen } = context
    const well =
      (verb === 'list' && email === undefined) ||
      (verb === 'add' && role !== undefined) ||
      (verb === 'remove' && email !== undefined && role === undefined)
    if (!well) throw new UsageError('coderunner members [list] | add EMAIL ROLE | remove EMAIL', 'members')
    const wanted = role === undefined ? undefined : readChoice(role, 'ROLE', roles)
    const client = await context.client()
    const project = await existingProject(context, client, options.project, 'members')
    if (email !== undefined && wanted !== undefined) {
      const member = await client.projects.setMember(project.id, { email, role: wanted })
      return screen.json ? screen.document(member) : screen.note(`${safeText(email)} is ${wanted} of ${project.name}.`)
    }
    const list = await collected(client.projects.members(project.id))
    if (email === undefined) {
      if (screen.json) return screen.document(list)
      return screen.table([['E-MAIL', 'ROLE'], ...list.map(member => [safeText(member.email), member.role])])
    }
    const member = list.find(one => one.email.toLowerCase() === email.toLowerCase())
    if (member === undefined) throw new Failure('not_found', `${safeText(email)} is not a member of ${project.name}.`)
    await client.projects.removeMember(project.id, member.userId)
    if (screen.json) screen.document({ removed: member })
    else screen.note(`${safeText(email)} is no longer a member of ${project.name}.`)
  },
})
