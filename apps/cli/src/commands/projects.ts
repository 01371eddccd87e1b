import { projectNameProblem } from '@coderunner/contract/names'
import { defineCommand } from '../command.ts'
import { existingProject } from '../deployment/choose-project.ts'
import { formatAge } from '../duration.ts'
import { safeText } from '../terminal/safe-text.ts'
import { UsageError } from '../usage-error.ts'
import { collected } from './collected.ts'
import { destroyProject } from './destroy.ts'

export const projects = defineCommand({
  name: 'projects',
  summary: 'List, create and delete projects',
  usage: '[list]\ncreate NAME [--description TEXT]\ndelete NAME --yes',
  positionals: { min: 0, max: 2 },
  options: { description: { type: 'string', value: 'TEXT', help: 'What it is for' } },
  async run(context, { options, positionals: [verb = 'list', name] }) {
    const { screen } = context
    if (verb === 'list' && name === undefined) {
      const client = await context.client()
      const list = await collected(client.projects.list({ limit: 200 }))
      if (screen.json) return screen.document(list)
      if (list.length === 0) return screen.note('No projects. `coderunner deploy DIR --project NAME` makes one.')
      return screen.table([
        ['PROJECT', 'ROLE', 'AGE', 'URL'],
        ...list.map(project => [
          safeText(project.name),
          project.role,
          formatAge(Date.now() - Date.parse(project.createdAt)),
          safeText(project.url),
        ]),
      ])
    }
    if (name === undefined || (verb !== 'create' && verb !== 'delete'))
      throw new UsageError('coderunner projects [list] | create NAME | delete NAME --yes', 'projects')
    if (verb === 'delete') {
      const client = await context.client()
      const project = await existingProject(context, client, name, 'projects')
      return destroyProject(context, client, project, options.yes === true)
    }
    const problem = projectNameProblem(name)
    if (problem !== undefined) throw new UsageError(problem, 'projects')
    const { description } = options
    const client = await context.client()
    const created = await client.projects.create({ name, ...(description !== undefined && { description }) })
    if (screen.json) screen.document(created)
    else screen.result(safeText(created.name))
  },
})
