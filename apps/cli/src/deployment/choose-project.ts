import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Client, Project } from '@coderunner/client'
import { projectNameFrom, projectNameProblem } from '@coderunner/contract/names'
import type { CommandContext } from '../command.ts'
import { Failure } from '../failure.ts'
import { UsageError } from '../usage-error.ts'

/** The name a folder suggests: its package.json's, without a scope, or its own. */
export async function suggestedName(directory: string): Promise<string> {
  try {
    const { name } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as { name?: unknown }
    if (typeof name === 'string' && name !== '') return projectNameFrom(name.replace(/^@[^/]*\//, ''))
  } catch {
    // No package.json, or a broken one: the build will tell.
  }
  return projectNameFrom(basename(directory))
}

/** The project's name from --project, or the suggestion confirmed by a person; a script has to say it. */
export async function projectName(
  context: CommandContext,
  given: string | undefined,
  { suggestion, yes, command }: { suggestion: string; yes: boolean; command: string },
): Promise<string> {
  const { prompt } = context
  if (given !== undefined) return checked(given)
  if (!prompt.interactive)
    throw new UsageError(
      'Say which project with --project NAME: it is not guessed when nobody is there to confirm.',
      command,
    )
  return yes ? suggestion : checked(await prompt.text('Project', suggestion))
}

/** The project named, which has to exist. */
export async function existingProject(
  context: CommandContext,
  client: Client,
  given: string | undefined,
  command: string,
): Promise<Project> {
  const name = await projectName(context, given, {
    suggestion: given ?? (await suggestedName(context.cwd)),
    yes: false,
    command,
  })
  const project = await client.projects.byName(name)
  if (project === undefined)
    throw new Failure('not_found', `There is no project “${name}” among yours.`, {
      hint: '`coderunner projects` lists them.',
    })
  return project
}

function checked(name: string): string {
  const problem = projectNameProblem(name)
  if (problem !== undefined) throw new UsageError(problem)
  return name
}
