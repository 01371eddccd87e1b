import { ApiError, type Client, type Project } from '@coderunner/client'
import { type CommandContext, defineCommand } from '../command.ts'
import { existingProject } from '../deployment/choose-project.ts'
import { watchOperation } from '../deployment/watch-operation.ts'
import { Failure } from '../failure.ts'
import { UsageError } from '../usage-error.ts'

const timeoutMs = 5 * 60_000

export const destroy = defineCommand({
  name: 'destroy',
  aliases: ['down'],
  summary: 'Destroy a project with every deployment of it, or one deployment',
  usage: '--project NAME --yes\nDEPLOYMENT --yes',
  positionals: { min: 0, max: 1 },
  options: { project: { type: 'string', short: 'p', value: 'NAME', help: 'Project to destroy' } },
  async run(context, { options, positionals: [id] }) {
    const { screen } = context
    if (id !== undefined && options.project !== undefined)
      throw new UsageError('Name a deployment or a project, not both.', 'destroy')
    const client = await context.client()
    if (id !== undefined) {
      await confirm(context, options.yes === true, `deployment ${id}`)
      await destroyDeployment(context, client, id)
      return screen.json ? screen.document({ destroyed: { deploymentId: id } }) : screen.note(`Destroyed ${id}.`)
    }
    const project = await existingProject(context, client, options.project, 'destroy')
    await destroyProject(context, client, project, options.yes === true)
  },
})

/** A project can go only when its deployments have: they go first, one after the other. */
export async function destroyProject(
  context: CommandContext,
  client: Client,
  { id, name }: Project,
  yes: boolean,
): Promise<void> {
  const { screen } = context
  await confirm(context, yes, `project ${name} with every deployment of it`)
  for await (const deployment of client.deployments.list({ project: name }))
    if (deployment.status !== 'DESTROYED') await destroyDeployment(context, client, deployment.id)
  await client.projects.remove(id)
  if (screen.json) screen.document({ destroyed: { projectId: id, project: name } })
  else screen.note(`Destroyed project ${name}.`)
}

async function destroyDeployment(context: CommandContext, client: Client, deploymentId: string): Promise<void> {
  const { screen, signal } = context
  try {
    const started = await client.deployments.destroy(deploymentId, signal)
    screen.note(`Destroying ${deploymentId}...`)
    const operationId = started?.operationId
    await watchOperation({ client, screen, signal, deploymentId, operationId, timeoutMs, log: false })
  } catch (error) {
    // Gone since it was listed: that is what was wanted.
    if (!(error instanceof ApiError && error.status === 404)) throw error
  }
}

async function confirm({ prompt }: CommandContext, yes: boolean, what: string): Promise<void> {
  if (yes) return
  if (!prompt.interactive) throw new UsageError(`This destroys ${what} for good: add --yes to confirm.`)
  if (!(await prompt.confirm(`Destroy ${what} for good?`, false)))
    throw new Failure('cancelled', 'Nothing was destroyed.')
}
