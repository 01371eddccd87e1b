import type { Client, Deployment } from '@coderunner/client'
import { actionAllowedFrom } from '@coderunner/contract/deployment'
import { defineCommand } from '../command.ts'
import { existingProject } from '../deployment/choose-project.ts'
import { Failure } from '../failure.ts'
import { act, controlOptions } from './control.ts'

/** More than the server keeps by default. */
const mostCandidates = 20

export const rollback = defineCommand({
  name: 'rollback',
  summary: "Lead the project's URL back to the deployment that served before",
  usage: '--project NAME',
  notes: ['Code and configuration go back together. `coderunner promote DEPLOYMENT` goes to any other one.'],
  positionals: { min: 0, max: 0 },
  options: controlOptions,
  async run(context, { options }) {
    const client = await context.client()
    const project = await existingProject(context, client, options.project, 'rollback')
    const previous = await servedBefore(client, project.name)
    if (previous === undefined)
      throw new Failure(
        'conflict',
        `Project ${project.name} has no other deployment that has served and still exists.`,
        {
          hint: `\`coderunner ps --project ${project.name}\` lists what there is.`,
        },
      )
    context.screen.note(`Rolling back to ${previous.id}`)
    await act(context, previous.id, 'promote', options)
  },
})

/** Of those that can be promoted, the one that came to serve last. */
async function servedBefore(client: Client, project: string): Promise<Deployment | undefined> {
  const candidates: string[] = []
  for await (const { id, serving, status } of client.deployments.list({ project })) {
    if (!serving && actionAllowedFrom('promote', status)) candidates.push(id)
    if (candidates.length === mostCandidates) break
  }
  const deployments = await Promise.all(candidates.map(id => client.deployments.get(id)))
  return deployments
    .map(deployment => ({ deployment, promotedAt: lastPromotion(deployment) }))
    .filter(({ promotedAt }) => promotedAt > 0)
    .sort((a, b) => b.promotedAt - a.promotedAt)[0]?.deployment
}

function lastPromotion({ operations }: Deployment): number {
  const promotions = operations.filter(
    ({ kind, status }) => (kind === 'deploy' || kind === 'promote') && status === 'SUCCEEDED',
  )
  return Math.max(0, ...promotions.map(({ endedAt, createdAt }) => Date.parse(endedAt ?? createdAt)))
}
