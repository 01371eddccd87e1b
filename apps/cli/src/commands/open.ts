import { execFile } from 'node:child_process'
import { defineCommand } from '../command.ts'
import { existingProject } from '../deployment/choose-project.ts'
import { safeText } from '../terminal/safe-text.ts'

export const open = defineCommand({
  name: 'open',
  summary: "Print a project's URL and open it in the browser",
  usage: '--project NAME',
  notes: ['A browser is opened on a terminal only.'],
  positionals: { min: 0, max: 0 },
  options: { project: { type: 'string', short: 'p', value: 'NAME', help: 'Project' } },
  async run(context, { options }) {
    const { screen } = context
    const client = await context.client()
    const { name, url } = await existingProject(context, client, options.project, 'open')
    if (screen.json) return screen.document({ project: name, url })
    screen.result(safeText(url))
    if (context.prompt.interactive && /^https?:\/\//.test(url)) await openBrowser(url)
  },
})

/** Many machines have no browser: the URL has been printed, so that is no failure. */
function openBrowser(url: string): Promise<void> {
  return new Promise(resolve => {
    execFile(process.platform === 'darwin' ? 'open' : 'xdg-open', [url], { timeout: 10_000 }, () => resolve())
  })
}
