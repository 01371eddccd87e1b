import type { Client, DeploymentSummary } from '@coderunner/client'
import type { CommandContext } from '../command.ts'
import { Failure } from '../failure.ts'
import { existingProject } from './choose-project.ts'

/** A deployment named by its id, or the one that stands for a project: the serving one, else the newest. */
export async function chooseDeployment(
  context: CommandContext,
  client: Client,
  choice: { id?: string | undefined; project?: string | undefined; command: string },
): Promise<{ id: string }> {
  if (choice.id !== undefined) return { id: choice.id }
  const project = await existingProject(context, client, choice.project, choice.command)
  if (project.servingDeploymentId !== undefined) return { id: project.servingDeploymentId }
  const newest = await newestDeployment(client, project.name)
  if (newest === undefined)
    throw new Failure('not_found', `Project ${project.name} has no deployment.`, {
      hint: `\`coderunner deploy --project ${project.name}\` makes one.`,
    })
  return newest
}

export async function newestDeployment(client: Client, project: string): Promise<DeploymentSummary | undefined> {
  for await (const deployment of client.deployments.list({ project }))
    if (deployment.status !== 'DESTROYED') return deployment
  return undefined
}
