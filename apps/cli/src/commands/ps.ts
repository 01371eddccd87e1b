import type { Deployment, DeploymentSummary } from '@coderunner/client'
import { defineCommand } from '../command.ts'
import { existingProject } from '../deployment/choose-project.ts'
import { formatAge } from '../duration.ts'
import { safeLines, safeText } from '../terminal/safe-text.ts'
import type { Screen } from '../terminal/screen.ts'

const listLimit = 20

export const ps = defineCommand({
  name: 'ps',
  aliases: ['status'],
  summary: 'Show deployments, or one project in detail',
  usage: '[--project NAME | DEPLOYMENT] [--all]',
  positionals: { min: 0, max: 1 },
  options: {
    project: { type: 'string', short: 'p', value: 'NAME', help: 'Only this project, with its instances' },
    all: { type: 'boolean', short: 'a', help: 'Destroyed ones too, and all of them' },
  },
  async run(context, { options, positionals: [id] }) {
    const { screen } = context
    const client = await context.client()
    if (id !== undefined) {
      const deployment = await client.deployments.get(id)
      return screen.json ? screen.document(deployment) : showDetails(screen, deployment)
    }
    const project =
      options.project === undefined ? undefined : await existingProject(context, client, options.project, 'ps')
    const listed: DeploymentSummary[] = []
    for await (const deployment of client.deployments.list({ project: project?.name })) {
      if (options.all !== true && deployment.status === 'DESTROYED') continue
      listed.push(deployment)
      if (options.all !== true && listed.length === listLimit) break
    }
    const detailed = listed.find(({ serving }) => serving) ?? listed[0]
    const details = project && detailed && (await client.deployments.get(detailed.id))
    if (screen.json)
      return screen.document(project === undefined ? listed : { project, deployments: listed, deployment: details })
    if (listed.length === 0) return screen.note('No deployments. `coderunner deploy DIR --project NAME` makes one.')
    screen.table([
      ['PROJECT', 'STATUS', 'AGE', 'DEPLOYMENT', 'URL'],
      ...listed.map(deployment => [
        safeText(deployment.project),
        deployment.serving ? `${deployment.status} *` : deployment.status,
        formatAge(Date.now() - Date.parse(deployment.createdAt)),
        deployment.id,
        safeText(deployment.serving ? deployment.url : deployment.deploymentUrl),
      ]),
    ])
    screen.note(screen.style('dim', "* serves the project's URL"))
    if (details !== undefined) showDetails(screen, details)
  },
})

function showDetails(screen: Screen, deployment: Deployment): void {
  screen.result('')
  screen.result(`${safeText(deployment.project)} ${deployment.id} ${deployment.status}`)
  screen.result(`  ${safeText(deployment.serving ? deployment.url : deployment.deploymentUrl)}`)
  if (deployment.error !== undefined) screen.result(`  ${safeLines(deployment.error.message)}`)
  const instances = deployment.instances.filter(({ status }) => status !== 'GONE')
  if (instances.length === 0) return
  screen.table([
    ['  INSTANCE', 'STATUS', 'AGE'],
    ...instances.map(({ process, number, status, startedAt }) => [
      `  ${safeText(process)}.${number}`,
      status,
      startedAt === undefined ? '-' : formatAge(Date.now() - Date.parse(startedAt)),
    ]),
  ])
}
