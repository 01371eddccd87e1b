import { resolve } from 'node:path'
import { defineCommand, type OptionTable } from '../command.ts'
import { cancelDeployment } from '../deployment/cancel-deployment.ts'
import { projectName, suggestedName } from '../deployment/choose-project.ts'
import { deployOptions, readDeployOptions } from '../deployment/deploy-options.ts'
import { DevRounds } from '../deployment/dev-rounds.ts'
import { followRun } from '../deployment/follow-run.ts'
import { readEnvFile } from '../source/env-file.ts'
import { FolderWatch } from '../source/folder-watch.ts'
import { safeText } from '../terminal/safe-text.ts'

const options = {
  ...deployOptions,
  'no-logs': { type: 'boolean', help: 'Do not show what the application writes' },
} as const satisfies OptionTable

export const dev = defineCommand({
  name: 'dev',
  summary: 'Deploy a folder again with every change in it',
  usage: '[DIR] --project NAME [options]',
  notes: [
    'Deploys the folder, then watches it: what was changed is uploaded and goes live, and each time one line says how long that took. A version that does not build or does not answer leaves the one before it serving.',
    'What .gitignore and .coderunnerignore name is neither watched nor uploaded. Ctrl-C ends the watching; the last good version goes on serving. With --json each round is a JSON document on stdout.',
  ],
  positionals: { min: 0, max: 1 },
  options,
  async run(context, { options: given, positionals: [folder] }) {
    const { screen, signal } = context
    const directory = resolve(context.cwd, folder ?? '.')
    const details = readDeployOptions(given)
    const name = await projectName(context, given.project, {
      suggestion: await suggestedName(directory),
      yes: given.yes === true,
      command: 'dev',
    })
    const client = await context.client()
    if (given['import-env'] === true) {
      const imported = await readEnvFile(directory)
      screen.note(
        `From .env: ${Object.keys(imported)
          .map(variable => safeText(variable))
          .join(', ')}`,
      )
      details.env = { ...imported, ...details.env }
    }
    using watch = new FolderWatch()
    const rounds = new DevRounds({
      client,
      directory,
      request: { project: name, ...details },
      watch,
      projectId: (await client.projects.byName(name))?.id,
      screen,
      signal,
    })
    const logEnd = new AbortController()
    let following: Promise<void> | undefined
    try {
      for await (const { projectId, url } of rounds.run()) {
        if (following !== undefined) continue
        if (screen.json) screen.document({ url })
        else screen.result(safeText(url))
        screen.note(`Watching ${safeText(directory)}; Ctrl-C ends.`)
        following =
          given['no-logs'] === true
            ? Promise.resolve()
            : followRun(client, projectId, screen, AbortSignal.any([signal, logEnd.signal]))
      }
    } finally {
      logEnd.abort()
      screen.activity(undefined)
      if (rounds.underWay !== undefined) await cancelDeployment(context, rounds.underWay)
      await following
    }
  },
})
