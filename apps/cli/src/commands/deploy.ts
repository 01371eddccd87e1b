import { resolve } from 'node:path'
import { ApiError, type Client, type DeployAccepted, type DeployOptions } from '@coderunner/client'
import { type CommandContext, defineCommand, type Invocation, type OptionTable } from '../command.ts'
import { readChoice, readDurationOption, readInteger, readVariables } from '../command-line.ts'
import { projectName, suggestedName } from '../deployment/choose-project.ts'
import { watchOperation } from '../deployment/watch-operation.ts'
import { formatBytes, formatDuration } from '../duration.ts'
import { Failure, Interrupted } from '../failure.ts'
import { readSourceFolder, type SourceFolder } from '../source/source-folder.ts'
import { prepareUpload, type SourceUpload, sendDeploy, sendPlan } from '../source/source-upload.ts'
import { planText } from '../terminal/plan-text.ts'
import { safeText } from '../terminal/safe-text.ts'

const runtimes = ['nodejs', 'static'] as const
const cancelWithinMs = 5000
const defaultTimeoutMs = 20 * 60_000

const options = {
  project: { type: 'string', short: 'p', value: 'NAME', help: 'Project; made when there is none of this name' },
  env: { type: 'string', short: 'e', value: 'K=V', multiple: true, help: 'Environment variable; may be repeated' },
  port: { type: 'string', value: 'N', help: 'Port the application listens on (it is given as PORT too)' },
  start: { type: 'string', value: 'CMD', help: 'Start command, instead of the one found' },
  runtime: { type: 'string', value: 'R', help: `Runtime, instead of the one found: ${runtimes.join(', ')}` },
  plan: { type: 'boolean', help: 'Only show what was found and what would be done' },
  dry: { type: 'boolean', help: 'The same as JSON' },
  detach: { type: 'boolean', short: 'd', help: 'Do not wait until it answers' },
  'no-wait': { type: 'boolean', help: 'The same as --detach' },
  'wait-timeout': {
    type: 'string',
    value: 'TIME',
    help: 'Longest wait, such as 10m (default 20m); exit code 126 after it',
  },
} as const satisfies OptionTable
type DeployInvocation = Invocation<typeof options>

export const deploy = defineCommand({
  name: 'deploy',
  aliases: ['up'],
  summary: 'Turn a folder into a running application and print its URL',
  usage: '[DIR] --project NAME [options]',
  notes: [
    'Stdout carries the URL alone. Exit codes: 0 when the application answers, 1 when it does not, 126 after --wait-timeout, 130 after Ctrl-C, which cancels the deployment.',
    'What .gitignore and .coderunnerignore name stays at home, and so do .git, node_modules and .env files; `!name` in .coderunnerignore takes a file back.',
  ],
  positionals: { min: 0, max: 1 },
  options,
  async run(context, invocation) {
    const { screen, signal } = context
    const dryRun = invocation.options.dry === true || invocation.options.plan === true
    const directory = resolve(context.cwd, invocation.positionals[0] ?? '.')
    const timeoutMs = readDurationOption(invocation.options['wait-timeout'], '--wait-timeout') ?? defaultTimeoutMs
    const details = readDetails(invocation)
    const name = await chooseName(context, invocation, directory, dryRun)
    const client = await context.client()

    screen.activity(() => 'Indexing')
    if (!screen.live) screen.note('Indexing...')
    const folder = await readSourceFolder(directory, signal)
    const project = await client.projects.byName(name)
    const isNew = project === undefined
    if (isNew && !dryRun) await confirmNew(context, invocation, name)
    const request: DeployOptions = { project: name, ...details }
    const upload = await prepareUpload(client, folder, project?.id, signal)
    tellUpload(context, folder, upload)
    if (dryRun) {
      const plan = await sendPlan(client, request, upload, signal)
      screen.activity(undefined)
      if (invocation.options.dry === true || screen.json) return screen.document(plan)
      for (const line of planText(plan)) screen.result(line)
      return
    }

    screen.activity(() => `Uploading ${formatBytes(upload.bytes)}`)
    if (!screen.live) screen.note('Uploading...')
    const begun = Date.now()
    const accepted = await send(client, request, folder, upload, signal)
    screen.activity(undefined)
    if (isNew) screen.note(`Project ${name} created.`)
    screen.note(`Deployment ${accepted.deploymentId}`)
    if (invocation.options.detach === true || invocation.options['no-wait'] === true)
      return screen.json ? screen.document(accepted) : screen.result(safeText(accepted.url))
    await followDeploy(context, client, accepted, timeoutMs)
    screen.note(
      `Live after ${formatDuration(Date.now() - begun)}; this version alone: ${safeText(accepted.deploymentUrl)}`,
    )
    if (screen.json) screen.document({ ...accepted, status: 'RUNNING', durationMs: Date.now() - begun })
    else screen.result(safeText(accepted.url))
  },
})

function readDetails({ options }: DeployInvocation): Omit<DeployOptions, 'project'> {
  return {
    ...(options.runtime !== undefined && { runtime: readChoice(options.runtime, '--runtime', runtimes) }),
    ...(options.env !== undefined && { env: readVariables(options.env) }),
    ...(options.port !== undefined && { port: readInteger(options.port, '--port', { min: 1, max: 65_535 }) }),
    ...(options.start !== undefined && { start: options.start }),
  }
}

async function chooseName(context: CommandContext, { options }: DeployInvocation, directory: string, dryRun: boolean) {
  // A plan stores nothing: the name cannot make anything, so a script need not say it.
  if (dryRun && options.project === undefined) return suggestedName(directory)
  return projectName(context, options.project, { directory, yes: options.yes === true, command: 'deploy' })
}

/** A project comes into being by --project, --yes or a person's yes, never by a guess. */
async function confirmNew(context: CommandContext, { options }: DeployInvocation, name: string): Promise<void> {
  if (options.project !== undefined || options.yes === true) return
  context.screen.activity(undefined)
  if (!(await context.prompt.confirm(`Create project ${name}?`, true)))
    throw new Failure('cancelled', 'Nothing was deployed.')
}

function tellUpload({ screen }: CommandContext, folder: SourceFolder, upload: SourceUpload): void {
  if (folder.secretFiles.length > 0)
    screen.warn(
      `not uploaded, they may hold secrets: ${listed(folder.secretFiles)}. Pass what the application needs with --env.`,
    )
  if (folder.specialFiles.length > 0)
    screen.warn(`not uploaded, neither files nor links: ${listed(folder.specialFiles)}.`)
  if (folder.entries.length === 0)
    throw new Failure('nothing_to_run', `${folder.root} holds no files to upload.`, {
      hint: 'Are they all in .gitignore or .coderunnerignore?',
    })
  const all = `${folder.entries.length} ${folder.entries.length === 1 ? 'file' : 'files'}, ${formatBytes(folder.totalBytes)}`
  const unchanged = 'files' in upload && upload.unchanged
  screen.note(
    unchanged
      ? `${all}; nothing has changed since it was uploaded before`
      : `${all}; ${formatBytes(upload.bytes)} to upload`,
  )
}

async function send(
  client: Client,
  request: DeployOptions,
  folder: SourceFolder,
  upload: SourceUpload,
  signal: AbortSignal,
): Promise<DeployAccepted> {
  try {
    return await sendDeploy(client, request, upload, signal)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    if (error.status === 413)
      throw new Failure('too_large', `${formatBytes(upload.bytes)} is more than the server takes: ${error.detail}`, {
        hint: 'Leave out what the application does not need with a .coderunnerignore file.',
      })
    // What the project had when it was asked has been swept since: everything goes once more.
    if (error.code !== 'missing_files') throw error
    return sendDeploy(client, request, await prepareUpload(client, folder, undefined, signal), signal)
  }
}

async function followDeploy(
  context: CommandContext,
  client: Client,
  { deploymentId, operationId }: DeployAccepted,
  timeoutMs: number,
): Promise<void> {
  const { screen, signal } = context
  try {
    const deployment = await watchOperation({ client, screen, signal, deploymentId, operationId, timeoutMs, log: true })
    if (deployment.status !== 'RUNNING' && deployment.status !== 'SLEEPING')
      throw new Failure('start_failed', `The deployment is ${deployment.status}, not RUNNING.`)
  } catch (error) {
    if (error instanceof Interrupted) await cancel(context, deploymentId)
    throw error
  }
}

async function cancel(context: CommandContext, id: string): Promise<void> {
  context.screen.note('Cancelling the deployment...')
  const client = await context.client({ outliveInterrupt: true })
  try {
    await client.deployments.act(id, 'cancel', AbortSignal.timeout(cancelWithinMs))
  } catch (error) {
    // Already running, or already ended: there is nothing to cancel then.
    if (error instanceof ApiError && error.status === 409) return
    context.screen.warn(`the deployment could not be cancelled and goes on: ${(error as Error).message}`)
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).map(name => safeText(name))
  return names.length > shown.length ? `${shown.join(', ')} and ${names.length - shown.length} more` : shown.join(', ')
}
