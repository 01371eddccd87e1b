/**
 * Says how a project is built and started, from its files alone. What was asked for explicitly comes first, then the
 * project file, then a Procfile, then what the analysers recognise, in their order. Pure: reads, decides, explains.
 */
import { AppError, type api } from '@coderunner/contract'
import type { Analyser, AnalysisContext, Found, Wishes } from './analysis-context.ts'
import { analyzeCommand } from './analyze-command.ts'
import { analyzeNode, nodeLookedFor } from './analyze-node.ts'
import { analyzePython } from './analyze-python.ts'
import { analyzeStatic } from './analyze-static.ts'
import { Findings } from './findings.ts'
import { readPackageJson } from './package-json.ts'
import { readProcfile } from './procfile.ts'
import { readProjectFile } from './project-file.ts'
import { existingFolder, folderFiles, type ProjectFiles, topLevel } from './project-files.ts'
import type { SoftwareVersions } from './software-versions.ts'
import { workspaceOf } from './workspaces.ts'

const analysers: Readonly<Record<api.Detection['runtime'], Analyser>> = {
  nodejs: analyzeNode,
  python: analyzePython,
  static: analyzeStatic,
  command: analyzeCommand,
}

/** `options`: what the deploy asks for. */
export async function analyzeProject(
  upload: ProjectFiles,
  options: Wishes,
  versions: SoftwareVersions,
): Promise<api.Detection> {
  const findings = new Findings()
  const wishes = combined(await readProjectFile(upload, findings), options)
  const { directory } = wishes
  if (directory === undefined) return analyzeFolder(upload, wishes, versions, findings)
  const folder = existingFolder(upload, directory)
  if (folder === '') return analyzeFolder(upload, wishes, versions, findings)
  findings.found(`folder ${folder}`, 'it was asked for')
  const workspaces = await workspaceOf(upload, folder)
  const files = folderFiles(upload, folder)
  const own = combined(combined(await readProjectFile(files, findings), wishes), options)
  if (workspaces !== undefined) {
    findings.found(`workspace ${folder}`, `${workspaces.declaredIn} names it, so that the whole project is installed`)
    return analyzeFolder(upload, { ...own, directory: folder }, versions, findings)
  }
  return { ...(await analyzeFolder(files, { ...own, directory: undefined }, versions, findings)), directory: folder }
}

async function analyzeFolder(
  files: ProjectFiles,
  wishes: Wishes,
  versions: SoftwareVersions,
  findings: Findings,
): Promise<api.Detection> {
  // Its commands run in the folder that is deployed: one of the whole tree is not a workspace's.
  const procfile = await readProcfile(
    wishes.directory === undefined ? files : folderFiles(files, wishes.directory),
    findings,
  )
  const processes = knownProcesses(wishes, procfile?.processes, findings)
  const context: AnalysisContext = { files, wishes, processes, findings, versions }
  for (const analyse of await order(context)) {
    const found = await analyse(context)
    if (found === undefined) continue
    const release = wishes.release ?? procfile?.release
    return complete(wishes, findings, { ...found, ...(release === undefined ? {} : { release }) })
  }
  throw nothingToRun(files, wishes, findings)
}

/** Requirements beside a package.json mean Python, whose pages it often builds, unless the package.json says how to start. */
async function order({ files, wishes, findings }: AnalysisContext): Promise<Analyser[]> {
  if (wishes.runtime !== undefined) {
    findings.found(`runtime: ${wishes.runtime}`, 'it was asked for')
    // A site may have to be made first.
    return wishes.runtime === 'static' ? [analyzeNode, analyzeStatic] : [analysers[wishes.runtime]]
  }
  const { nodejs, python, command } = analysers
  const rest = [analysers.static, command]
  const manifest = pythonManifests.find(path => files.has(path))
  if (manifest === undefined) return [nodejs, python, ...rest]
  const json = await readPackageJson(files)
  if (json === undefined) return [python, nodejs, ...rest]
  if (json.scripts['start'] !== undefined) {
    findings.found('Node', `package.json has a start script; ${manifest} beside it is left aside (--runtime python)`)
    return [nodejs, python, ...rest]
  }
  findings.found('Python', `${manifest} is there, and package.json has no start script (--runtime nodejs otherwise)`)
  return [python, nodejs, ...rest]
}

const pythonManifests = ['requirements.txt', 'pyproject.toml', 'Pipfile', 'manage.py', 'setup.py']

function knownProcesses(
  { start, processes }: Wishes,
  fromProcfile: readonly api.ProcessPlan[] | undefined,
  findings: Findings,
): readonly api.ProcessPlan[] | undefined {
  // A Procfile may name a release command only.
  const known = processes ?? (fromProcfile?.length === 0 ? undefined : fromProcfile)
  if (start === undefined) {
    if (processes?.every(({ type }) => type !== 'web'))
      findings.warn('coderunner.yaml names processes, but no web among them and no start: nothing answers at the URL.')
    return known
  }
  findings.found(`start: ${start}`, 'it was asked for')
  const others = (known ?? []).filter(({ type }) => type !== 'web')
  return [{ type: 'web', command: start, count: 1 }, ...others]
}

function complete(wishes: Wishes, { findings, warnings }: Findings, found: Found): api.Detection {
  if (wishes.port === undefined || found.runtime === 'static') return { ...found, findings, warnings }
  findings.push({ what: `port ${wishes.port}`, why: 'it was asked for' })
  return { ...found, port: wishes.port, findings, warnings }
}

/** What `over` says wins. */
function combined(under: Wishes | undefined, over: Wishes): Wishes {
  const said = Object.entries(over).filter(([, value]) => value !== undefined)
  return { ...under, ...(Object.fromEntries(said) as Wishes) }
}

function nothingToRun(files: ProjectFiles, { runtime }: Wishes, { notes }: Findings): AppError {
  const lookedFor: Record<api.Detection['runtime'], readonly string[]> = {
    nodejs: nodeLookedFor,
    python: ['requirements.txt', 'pyproject.toml', 'Pipfile', 'main.py', 'app.py'],
    static: ['index.html', 'public/', 'Staticfile'],
    command: ['a start command (--start)'],
  }
  const looked = [
    ...(runtime === undefined ? [...Object.values(lookedFor).flat().slice(0, -1), 'Procfile'] : lookedFor[runtime]),
  ]
  const listing = files.paths.length === 0 ? 'There are no files at all.' : `Found: ${topLevel(files.paths).join('  ')}`
  const folders = projectFolders(files)
  const below =
    folders.length === 0
      ? []
      : [`There is a project in ${folders.slice(0, 10).join(', ')}: deploy it with --directory ${folders[0] ?? ''}`]
  const docker = files.has('Dockerfile')
    ? ['There is a Dockerfile; those are not built here: say how it starts with --start, or add a Procfile.']
    : []
  return new AppError(
    'nothing_to_run',
    [
      `Nothing to run was found. Looked for ${looked.join(', ')}. Add one of them, or say how it starts with --start.`,
      ...docker,
      ...below,
      ...notes.map(note => `Note: ${note}.`),
      listing,
    ].join('\n'),
  )
}

/** Folders one level down that look like a project each. */
function projectFolders({ paths }: ProjectFiles): string[] {
  const signs = new Set(['package.json', 'index.html', 'Procfile', 'coderunner.yaml', ...pythonManifests])
  const found = paths.map(path => path.split('/')).filter(parts => parts.length === 2 && signs.has(parts[1] ?? ''))
  return [...new Set(found.map(([folder = '']) => folder))].sort()
}
