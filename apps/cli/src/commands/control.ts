import { type CommandContext, defineCommand, type Invocation, type OptionTable } from '../command.ts'
import { readDurationOption } from '../command-line.ts'
import { chooseDeployment } from '../deployment/choose-deployment.ts'
import { watchOperation } from '../deployment/watch-operation.ts'
import { safeText } from '../terminal/safe-text.ts'

type Action = 'start' | 'stop' | 'restart' | 'promote'

export const controlOptions = {
  project: { type: 'string', short: 'p', value: 'NAME', help: 'Project: its serving deployment' },
  'no-wait': { type: 'boolean', help: 'Do not wait until it is done' },
  'wait-timeout': {
    type: 'string',
    value: 'TIME',
    help: 'Longest wait, such as 2m (default 5m); exit code 126 after it',
  },
} as const satisfies OptionTable

const defaultTimeoutMs = 5 * 60_000

export const start = controlCommand('start', 'Start a stopped deployment')
export const stop = controlCommand('stop', 'Stop a deployment and keep it')
export const restart = controlCommand('restart', "Start a deployment's processes anew")

export const promote = defineCommand({
  name: 'promote',
  summary: "Lead the project's URL to a deployment",
  usage: 'DEPLOYMENT',
  positionals: { min: 1, max: 1 },
  options: { 'no-wait': controlOptions['no-wait'], 'wait-timeout': controlOptions['wait-timeout'] },
  async run(context, { options, positionals: [id = ''] }) {
    await act(context, id, 'promote', options)
  },
})

function controlCommand(name: Action, summary: string) {
  return defineCommand({
    name,
    summary,
    usage: '--project NAME\nDEPLOYMENT',
    positionals: { min: 0, max: 1 },
    options: controlOptions,
    async run(context, { options, positionals: [id] }) {
      const client = await context.client()
      const deployment = await chooseDeployment(context, client, { id, project: options.project, command: name })
      await act(context, deployment.id, name, options)
    },
  })
}

/** Orders an action and shows its steps until it is done. */
export async function act(
  context: CommandContext,
  deploymentId: string,
  action: Action,
  options: Pick<Invocation<typeof controlOptions>['options'], 'no-wait' | 'wait-timeout'>,
): Promise<void> {
  const { screen, signal } = context
  const timeoutMs = readDurationOption(options['wait-timeout'], '--wait-timeout') ?? defaultTimeoutMs
  const client = await context.client()
  const { operationId, status } = await client.deployments.act(deploymentId, action, signal)
  if (options['no-wait'] === true) {
    if (screen.json) screen.document({ deploymentId, operationId, status })
    return
  }
  const deployment = await watchOperation({ client, screen, signal, deploymentId, operationId, timeoutMs, log: false })
  if (screen.json) screen.document(deployment)
  else screen.note(`${deploymentId} of ${safeText(deployment.project)} is ${deployment.status}.`)
}
