import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import type { Client, DeployAccepted, DeployOptions } from '@coderunner/client'
import { projectNameFrom } from '@coderunner/contract/names'
import { type CommandContext, defineCommand, type Invocation, type OptionTable } from '../command.ts'
import { readDurationOption } from '../command-line.ts'
import { cancelDeployment } from '../deployment/cancel-deployment.ts'
import { projectName, suggestedName } from '../deployment/choose-project.ts'
import { deployOptions, readDeployOptions } from '../deployment/deploy-options.ts'
import { archiveSource, type DeploySource, folderSource, gitSource } from '../deployment/deploy-source.ts'
import { watchOperation } from '../deployment/watch-operation.ts'
import { formatBytes, formatDuration } from '../duration.ts'
import { Failure, Interrupted } from '../failure.ts'
import { readEnvFile } from '../source/env-file.ts'
import { planText } from '../terminal/plan-text.ts'
import { safeText } from '../terminal/safe-text.ts'
import { UsageError } from '../usage-error.ts'

const defaultTimeoutMs = 20 * 60_000

const options = {
  ...deployOptions,
  git: { type: 'string', value: 'URL', help: 'Deploy a repository, by https or ssh, instead of a folder' },
  ref: { type: 'string', value: 'REF', help: 'Branch, tag or commit of the repository (default: its own choice)' },
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

/** Where the source lies. */
type Place = { kind: 'folder' | 'archive'; path: string } | { kind: 'git'; git: NonNullable<DeployOptions['git']> }

export const deploy = defineCommand({
  name: 'deploy',
  aliases: ['up'],
  summary: 'Turn a folder into a running application and print its URL',
  usage:
    '[DIR] --project NAME [options]\nARCHIVE.zip|ARCHIVE.tar.gz --project NAME [options]\n--git URL [--ref REF] --project NAME [options]',
  notes: [
    'Stdout carries the URL alone. Exit codes: 0 when the application answers, 1 when it does not, 126 after --wait-timeout, 130 after Ctrl-C, which cancels the deployment.',
    'What .gitignore and .coderunnerignore name stays at home, and so do .git, node_modules and .env files; `!name` in .coderunnerignore takes a file back.',
    'A private repository is fetched with the token in CODERUNNER_GIT_TOKEN. It is used for this deployment and kept nowhere.',
  ],
  positionals: { min: 0, max: 1 },
  options,
  async run(context, invocation) {
    const { screen } = context
    const { options: given } = invocation
    const dryRun = given.dry === true || given.plan === true
    const place = await findPlace(context, invocation)
    const timeoutMs = readDurationOption(given['wait-timeout'], '--wait-timeout') ?? defaultTimeoutMs
    const details = await readDetails(context, given, place)
    const name = await chooseName(context, invocation, place, dryRun)
    const client = await context.client()

    screen.activity(() => 'Indexing')
    if (!screen.live) screen.note('Indexing...')
    const project = await client.projects.byName(name)
    const isNew = project === undefined
    if (isNew && !dryRun) await confirmNew(context, invocation, name)
    const request: DeployOptions = { project: name, ...details, ...(place.kind === 'git' && { git: place.git }) }
    const source = await sourceAt(context, client, place, project?.id, given['import-env'] === true)
    if (dryRun) {
      const plan = await source.plan(request)
      screen.activity(undefined)
      if (given.dry === true || screen.json) return screen.document(plan)
      for (const line of planText(plan)) screen.result(line)
      return
    }

    screen.activity(() => (place.kind === 'git' ? 'Ordering' : `Uploading ${formatBytes(source.bytes)}`))
    if (!screen.live && place.kind !== 'git') screen.note('Uploading...')
    const begun = Date.now()
    const accepted = await source.send(request)
    screen.activity(undefined)
    if (isNew) screen.note(`Project ${name} created.`)
    screen.note(`Deployment ${accepted.deploymentId}`)
    if (given.detach === true || given['no-wait'] === true)
      return screen.json ? screen.document(accepted) : screen.result(safeText(accepted.url))
    await followDeploy(context, client, accepted, timeoutMs)
    // Without wildcard DNS a deployment has no address of its own.
    const own =
      accepted.deploymentUrl === accepted.url ? '' : `; this version alone: ${safeText(accepted.deploymentUrl)}`
    screen.note(`Live after ${formatDuration(Date.now() - begun)}${own}`)
    if (screen.json) screen.document({ ...accepted, status: 'RUNNING', durationMs: Date.now() - begun })
    else screen.result(safeText(accepted.url))
  },
})

async function findPlace(
  { cwd, settings }: CommandContext,
  { options: given, positionals }: DeployInvocation,
): Promise<Place> {
  if (given.git !== undefined) {
    if (positionals.length > 0) throw new UsageError('Give a folder or --git, not both.', 'deploy')
    const git = {
      url: given.git,
      ...(given.ref !== undefined && { ref: given.ref }),
      ...(settings.gitToken !== undefined && { token: settings.gitToken }),
    }
    return { kind: 'git', git }
  }
  if (given.ref !== undefined) throw new UsageError('--ref goes with --git.', 'deploy')
  const path = resolve(cwd, positionals[0] ?? '.')
  const found = await stat(path).catch(() => undefined)
  return { kind: found?.isFile() === true ? 'archive' : 'folder', path }
}

async function readDetails({ screen }: CommandContext, given: DeployInvocation['options'], place: Place) {
  const details = readDeployOptions(given)
  if (given['import-env'] !== true) return details
  if (place.kind !== 'folder') throw new UsageError('--import-env reads the .env file of a folder.', 'deploy')
  const imported = await readEnvFile(place.path)
  const names = Object.keys(imported)
  screen.note(names.length === 0 ? '.env holds no variables.' : `From .env: ${names.join(', ')}`)
  return { ...details, env: { ...imported, ...details.env } }
}

function sourceAt(
  context: CommandContext,
  client: Client,
  place: Place,
  projectId: string | undefined,
  envImported: boolean,
): Promise<DeploySource> | DeploySource {
  if (place.kind === 'git') return gitSource(context, client)
  if (place.kind === 'archive') return archiveSource(context, client, place.path)
  return folderSource(context, client, { directory: place.path, projectId, envImported })
}

async function chooseName(
  context: CommandContext,
  { options: given }: DeployInvocation,
  place: Place,
  dryRun: boolean,
) {
  const suggestion =
    place.kind === 'folder'
      ? await suggestedName(place.path)
      : projectNameFrom(
          basename(place.kind === 'git' ? place.git.url : place.path).replace(
            /(\.git|\.zip|\.tar|\.tar\.gz|\.tgz)$/,
            '',
          ),
        )
  // A plan stores nothing: the name cannot make anything, so a script need not say it.
  if (dryRun && given.project === undefined) return suggestion
  return projectName(context, given.project, { suggestion, yes: given.yes === true, command: 'deploy' })
}

/** A project comes into being by --project, --yes or a person's yes, never by a guess. */
async function confirmNew(context: CommandContext, { options: given }: DeployInvocation, name: string): Promise<void> {
  if (given.project !== undefined || given.yes === true) return
  context.screen.activity(undefined)
  if (!(await context.prompt.confirm(`Create project ${name}?`, true)))
    throw new Failure('cancelled', 'Nothing was deployed.')
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
    if (error instanceof Interrupted) {
      screen.note('Cancelling the deployment...')
      await cancelDeployment(context, deploymentId)
    }
    throw error
  }
}
