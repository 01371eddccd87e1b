/**
 * A Python project, from its files alone: the Python it asks for, the one file that says what is installed, and how it
 * starts. Pure: reads, decides, explains.
 */
import type { AnalysisContext, Found } from './analysis-context.ts'
import type { ProjectFiles } from './project-files.ts'
import { misspeltRequirements, noteDependencies, pythonDependencies } from './python-dependencies.ts'
import { type DjangoProject, findDjango } from './python-django.ts'
import { installLabel, pathsLabel } from './python-install.ts'
import { readToml } from './python-manifest.ts'
import { pythonEntries, pythonStart } from './python-start.ts'
import { checkPythonVersion, sandboxPython } from './python-version.ts'

const manifests = [
  'requirements.txt',
  'pyproject.toml',
  'Pipfile',
  'Pipfile.lock',
  'uv.lock',
  'poetry.lock',
  'pdm.lock',
  'setup.py',
]

export async function analyzePython({
  files,
  wishes,
  processes,
  findings,
}: AnalysisContext): Promise<Found | undefined> {
  const django = await findDjango(files)
  const sign = signOf(files, django) ?? commandSign(files, processes)
  if (sign === undefined && wishes.runtime !== 'python') return undefined
  if (sign !== undefined) findings.found('Python', sign)
  const misspelt = misspeltRequirements(files)
  const pyproject = await readToml(files, 'pyproject.toml')
  await checkPythonVersion(files, pyproject, findings)
  const dependencies = await pythonDependencies(files, pyproject, 'x64')
  if (misspelt !== undefined && dependencies.file !== undefined)
    findings.warn(`${misspelt} is not read: what it names is not installed. Is it meant to be requirements.txt?`)
  noteDependencies(dependencies, findings)
  const given = processes !== undefined && processes.length > 0 ? processes : undefined
  const start =
    given === undefined
      ? await pythonStart({ files, pyproject, installed: dependencies.names, django, findings })
      : undefined
  if (given === undefined && start === undefined) {
    findings.noted(
      `it is a Python project (${sign ?? 'as asked for'}), but none of ${pythonEntries.join(', ')} is there, no application object was found and pyproject.toml names no script`,
    )
    return undefined
  }
  const framework = start?.framework ?? (django === undefined ? undefined : 'Django')
  const build = wishes.build ?? buildOf(pathsLabel(dependencies.install), django)
  return {
    runtime: 'python',
    ...(framework === undefined ? {} : { framework }),
    pythonVersion: sandboxPython,
    packageManager: dependencies.manager,
    install: installLabel(dependencies.install),
    ...(build === undefined || build === '' ? {} : { build }),
    ...(start?.release === undefined ? {} : { release: start.release }),
    processes: given === undefined ? startProcesses(start) : [...given],
  }
}

function startProcesses(start: { process: string; command: string } | undefined): Found['processes'] {
  return start === undefined ? [] : [{ type: start.process, command: start.command, count: 1 }]
}

/** Why it is a Python project. */
function signOf(files: ProjectFiles, django: DjangoProject | undefined): string | undefined {
  const file =
    manifests.find(path => files.has(path)) ??
    django?.manage ??
    pythonEntries.find(path => files.has(path)) ??
    (files.paths.some(path => path.endsWith('.py')) ? misspeltRequirements(files) : undefined)
  return file === undefined ? undefined : `${file} is there`
}

const pythonCommand = /(?:^|[\s/])(?:python3?|gunicorn|uvicorn|hypercorn|flask|celery|streamlit)(?:\s|$)/

/** A Procfile or the project file runs Python, and there is some. */
function commandSign(files: ProjectFiles, processes: AnalysisContext['processes']): string | undefined {
  const process = processes?.find(({ command }) => pythonCommand.test(command))
  if (process === undefined || !files.paths.some(path => path.endsWith('.py'))) return undefined
  return `the process ${process.type} runs “${process.command.slice(0, 60)}”`
}

function buildOf(paths: string | undefined, django: DjangoProject | undefined): string | undefined {
  const collect = django?.collectsStatic === true ? `python ${django.manage} collectstatic --noinput` : undefined
  const commands = [paths, collect].filter(command => command !== undefined)
  return commands.length === 0 ? undefined : commands.join(' && ')
}
