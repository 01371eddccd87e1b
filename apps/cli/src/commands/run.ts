import { once } from 'node:events'
import { defineCommand } from '../command.ts'
import { readDurationOption } from '../command-line.ts'
import { chooseDeployment } from '../deployment/choose-deployment.ts'

export const run = defineCommand({
  name: 'run',
  aliases: ['exec'],
  summary: "Run a one-off command with an application's code and environment",
  usage: '--project NAME [--timeout TIME] -- COMMAND [ARGUMENT]...',
  notes: [
    'The command runs in a sandbox of its own. Its stdout and stderr stay apart and its exit code becomes that of coderunner. There is no shell between: use `-- sh -c "…"` for one.',
  ],
  positionals: { min: 1, max: 256 },
  options: {
    project: { type: 'string', short: 'p', value: 'NAME', help: 'Project: its serving deployment' },
    deployment: { type: 'string', value: 'ID', help: 'This deployment instead' },
    timeout: { type: 'string', value: 'TIME', help: 'Longest run, such as 10m' },
  },
  async run(context, { options, positionals: command }) {
    const { screen, signal } = context
    const timeoutMs = readDurationOption(options.timeout, '--timeout')
    const client = await context.client({ patient: true })
    const choice = { id: options.deployment, project: options.project, command: 'run' }
    const { id } = await chooseDeployment(context, client, choice)
    const output: Record<'stdout' | 'stderr', string[]> = { stdout: [], stderr: [] }
    let exitCode = 1
    for await (const event of client.deployments.run(id, { command, ...(timeoutMs && { timeoutMs }) }, signal)) {
      if ('exitCode' in event) exitCode = event.exitCode
      else if (screen.json) output[event.stream].push(Buffer.from(event.data).toString('latin1'))
      // Unchanged, controls included: the output is the command's, and may be a file.
      else if (!process[event.stream].write(event.data)) await once(process[event.stream], 'drain', { signal })
    }
    if (screen.json) screen.document({ exitCode, stdout: utf8(output.stdout), stderr: utf8(output.stderr) })
    return exitCode
  },
})

/** Joined as bytes first: a character may have been cut between two pieces. */
function utf8(pieces: readonly string[]): string {
  return Buffer.from(pieces.join(''), 'latin1').toString('utf8')
}
