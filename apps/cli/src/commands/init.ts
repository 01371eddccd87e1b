import { writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { defineCommand, type OptionTable } from '../command.ts'
import { suggestedName } from '../deployment/choose-project.ts'
import { Failure } from '../failure.ts'
import { FileHashes } from '../source/file-hashes.ts'
import { lstatIfPresent } from '../source/lstat-if-present.ts'
import { projectFileText } from '../source/project-file-text.ts'
import { readSourceFolder } from '../source/source-folder.ts'
import { prepareUpload, sendPlan } from '../source/source-upload.ts'
import { planText } from '../terminal/plan-text.ts'
import { safeText } from '../terminal/safe-text.ts'

const options = {
  directory: { type: 'string', value: 'DIR', help: 'Folder within the project that is deployed' },
} as const satisfies OptionTable

export const init = defineCommand({
  name: 'init',
  summary: 'Write a coderunner.yaml with what was detected in a folder',
  usage: '[DIR] [options]',
  notes: ['The server looks at the folder and keeps nothing of it. A file that is there is replaced with --yes only.'],
  positionals: { min: 0, max: 1 },
  options,
  async run(context, { options: given, positionals: [folder] }) {
    const { screen, signal, settings } = context
    const root = resolve(context.cwd, folder ?? '.')
    const file = join(root, 'coderunner.yaml')
    const present = await lstatIfPresent(file)
    if (present !== undefined && given.yes !== true)
      throw new Failure('conflict', `${safeText(file)} is there already.`, { hint: '--yes replaces it.' })
    const client = await context.client()
    const source = await readSourceFolder(root, signal)
    // What the file says now shall not be found again as what was detected.
    const entries = source.entries.filter(({ path }) => !/^coderunner\.ya?ml$/.test(path))
    const hashes = await FileHashes.open(settings.cacheDirectory, source.root)
    const upload = await prepareUpload({ ...source, entries }, { client, hashes, projectId: undefined, signal })
    const request = {
      project: await suggestedName(root),
      ...(given.directory !== undefined && { directory: given.directory }),
    }
    const plan = await sendPlan(client, request, upload, signal)
    // Not through a link: it may lead anywhere.
    if (present?.isSymbolicLink() === true) throw new Failure('conflict', `${safeText(file)} is a link.`)
    await writeFile(file, projectFileText(plan))
    if (screen.json) return screen.document({ file, detection: plan.detection })
    for (const line of planText(plan)) screen.note(line)
    screen.result(safeText(relative(context.cwd, file) || file))
  },
})
