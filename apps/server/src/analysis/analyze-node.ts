/** Projects of Node: package.json, workspaces, or a lone server.js. */
import { AppError, type api } from '@coderunner/contract'
import type { AnalysisContext, Found } from './analysis-context.ts'
import type { Findings } from './findings.ts'
import { buildScriptOf, type Framework } from './frameworks.ts'
import {
  bareEntries,
  fileCommand,
  type NodePart,
  neededToRun,
  nodeEntries,
  type Outcome,
  outcomeOf,
  recognise,
} from './node-start.ts'
import { chooseNodeVersion } from './node-version.ts'
import { dependsOn, installScripts, type PackageJson, readPackageJson } from './package-json.ts'
import { choosePackageManager, type PackageManager } from './package-manager.ts'
import { installCommand, isBerry, programCommand, quoted, scriptCommand } from './package-manager-commands.ts'
import { folderFiles } from './project-files.ts'
import { staticRoot } from './static-root.ts'
import { buildOrder, readWorkspaces, type Workspaces } from './workspaces.ts'
import { usesPlugAndPlay } from './yarn-settings.ts'

/** For the message when there is none of it. */
export const nodeLookedFor = ['a start script or "main" in package.json', ...nodeEntries]

export async function analyzeNode(context: AnalysisContext): Promise<Found | undefined> {
  const json = await readPackageJson(context.files)
  return json === undefined ? analyzeBare(context) : analyzePackage(context, json)
}

/** Files and no package.json. */
async function analyzeBare({
  files,
  wishes,
  processes,
  findings,
  versions,
}: AnalysisContext): Promise<Found | undefined> {
  if (wishes.runtime === 'static') return undefined
  const entry = bareEntries.find(path => files.has(path))
  if (wishes.runtime !== 'nodejs') {
    // An index.js beside an index.html is a script of the page.
    const page = files.has('index.html') && !files.has('server.js') && !files.has('server.ts')
    if (entry === undefined || page) return undefined
  }
  const nodeVersion = await chooseNodeVersion([{ files, json: undefined }], versions, findings)
  const { build } = wishes
  const rest = { runtime: 'nodejs', nodeVersion, ...(build === undefined || build === '' ? {} : { build }) } as const
  if (processes !== undefined) return { ...rest, processes: [...processes] }
  if (entry === undefined) return undefined
  const command = fileCommand(entry, undefined, undefined, nodeVersion, findings)
  findings.found(`start: ${command}`, `${entry} is there, and no package.json`)
  return { ...rest, processes: [{ type: 'web', command, count: 1 }] }
}

async function analyzePackage(context: AnalysisContext, root: PackageJson): Promise<Found | undefined> {
  const { files, wishes, processes, findings, versions } = context
  const workspaces = await readWorkspaces(files)
  const folder = wishes.directory ?? (await chosenWorkspace(context, root, workspaces))
  const json = workspaces?.members.find(member => member.folder === folder)?.json ?? root
  const part: NodePart = {
    files: folder === undefined ? files : folderFiles(files, folder),
    json,
    isWorkspace: folder !== undefined,
  }
  if (wishes.runtime === 'static' && (await recognise(part))?.outcome?.kind !== 'site' && !asksForBuild(context))
    return undefined
  const manager = await choosePackageManager(files, root, versions, findings)
  const own = part.isWorkspace ? [{ files: part.files, json }] : []
  const nodeVersion = await chooseNodeVersion([...own, { files, json: root }], versions, findings)
  const pnp = await usesPlugAndPlay(files, manager)
  const outcome = await knownOutcome(context, part, { ...manager, pnp }, nodeVersion)
  if (outcome === undefined) return undefined
  const build = buildCommand(context, { manager, workspaces, folder, root, json, framework: outcome.framework })
  if (build !== undefined) findings.found(`build: ${build.command}`, build.why)
  const plans: readonly api.ProcessPlan[] =
    processes ?? (outcome.kind === 'server' ? [{ type: 'web', command: outcome.command, count: 1 }] : [])
  const install = installOf({ manager, root, json, workspaces, builds: build !== undefined, plans, findings })
  const found = {
    ...(outcome.framework === undefined ? {} : { framework: outcome.framework.name }),
    nodeVersion,
    packageManager: manager.name,
    ...(manager.version === undefined ? {} : { packageManagerVersion: manager.version }),
    ...(folder === undefined ? {} : { workspace: folder }),
    ...(install === undefined ? {} : { install }),
    ...(build === undefined ? {} : { build: build.command }),
  }
  if (outcome.kind === 'server') return { runtime: 'nodejs', ...found, processes: [...plans] }
  const below = folder === undefined ? '' : `${folder}/`
  return {
    runtime: 'static',
    ...found,
    processes: [],
    root: wishes.root ?? (outcome.output === '.' ? (folder ?? '.') : below + outcome.output),
    indexFallback: wishes.indexFallback ?? outcome.indexFallback,
  }
}

/** What is known of how it runs comes first. */
async function knownOutcome(
  { wishes, processes, findings }: AnalysisContext,
  part: NodePart,
  manager: PackageManager & { pnp: boolean },
  nodeVersion: string,
): Promise<Outcome | undefined> {
  if (wishes.runtime === 'static' || (wishes.root !== undefined && processes === undefined)) {
    const recognised = await recognise(part)
    const { outcome, framework } = recognised ?? {}
    const made = outcome?.kind === 'site' ? outcome : { output: wishes.root ?? '.', indexFallback: false }
    return { kind: 'site', framework, output: made.output, indexFallback: made.indexFallback }
  }
  if (processes === undefined) {
    const outcome = (await outcomeOf(part, manager, nodeVersion, findings)) ?? (await plainSite(part, findings))
    // A site asked for as an application: its server has to be named.
    return outcome?.kind === 'site' && wishes.runtime === 'nodejs' ? undefined : outcome
  }
  const recognised = await recognise(part)
  return { kind: 'server', framework: recognised?.framework, command: processes[0]?.command ?? '' }
}

/** Pages that a build script makes or completes, with no framework that would say where. */
async function plainSite({ files, json }: NodePart, findings: Findings): Promise<Outcome | undefined> {
  const { build } = json.scripts
  if (build === undefined) return undefined
  const named = outputOf(build)
  const output = named ?? (await staticRoot(files, findings))
  if (output === undefined) {
    findings.noted(
      'package.json has a build script but nothing to start; add a start script, or say with --start how it starts',
    )
    return undefined
  }
  if (named !== undefined) findings.found(`static site in ${named}/`, `nothing starts, and “${build}” writes there`)
  return { kind: 'site', framework: undefined, output, indexFallback: false }
}

/** `--outdir=dist` and the like: the folder. A file that is written into a folder of the sources says nothing. */
function outputOf(script: string): string | undefined {
  const pattern = /(?:^|\s)(?:--(?:out-?dir|outDir|dist-dir|dest|destination|output-dir|output))[= ]["']?([\w./-]+)/
  const folder = pattern.exec(script)?.[1]?.replace(/^\.\/|\/+$/g, '')
  return folder === undefined || folder === '' || folder === '.' || /\.[a-z]+$/.test(folder) ? undefined : folder
}

function asksForBuild({ wishes }: AnalysisContext): boolean {
  return wishes.root !== undefined && wishes.build !== ''
}

/** In a project of several where the root does not start: the one workspace that does. */
async function chosenWorkspace(
  { processes, findings, wishes }: AnalysisContext,
  root: PackageJson,
  workspaces: Workspaces | undefined,
): Promise<string | undefined> {
  if (workspaces === undefined || processes !== undefined || root.scripts['start'] !== undefined) return undefined
  if (root.main !== undefined || wishes.root !== undefined) return undefined
  const applications = workspaces.members.filter(
    ({ json }) => json.scripts['start'] !== undefined || json.scripts['dev'] !== undefined,
  )
  const started = applications.filter(({ json }) => json.scripts['start'] !== undefined)
  const [only, ...more] = started.length > 0 ? started : applications
  if (only === undefined) return undefined
  if (more.length > 0) {
    const folders = [only, ...more].map(({ folder }) => folder).join(', ')
    throw new AppError(
      'nothing_to_run',
      `The project has several applications: ${folders}. Say which one is deployed: --directory ${only.folder}`,
    )
  }
  findings.found(`workspace ${only.folder}`, 'it is the only one that starts, and the root has no start script')
  return only.folder
}

interface BuildInputs {
  manager: PackageManager
  workspaces: Workspaces | undefined
  folder: string | undefined
  root: PackageJson
  json: PackageJson
  framework: Framework | undefined
}

function buildCommand({ wishes }: AnalysisContext, inputs: BuildInputs): { command: string; why: string } | undefined {
  const { manager, folder, framework, json } = inputs
  const inFolder = (command: string) => (folder === undefined ? command : `cd ${quoted(folder)} && ${command}`)
  if (wishes.build === '') return undefined
  if (wishes.build !== undefined) return { command: inFolder(wishes.build), why: 'it was asked for' }
  if (folder !== undefined) return workspaceBuild(inputs, folder)
  const script = buildScript(json, framework)
  if (script !== undefined)
    return { command: scriptCommand(manager, script), why: `package.json has the script ${script}` }
  if (framework?.build === undefined) return undefined
  return { command: programCommand(manager, framework.build), why: `that is how ${framework.name} is built` }
}

/** Heroku's own hook comes instead of `build`. */
function buildScript(json: PackageJson, framework: Framework | undefined): string | undefined {
  const named = ['heroku-postbuild', 'build'].find(name => json.scripts[name] !== undefined)
  if (named !== undefined || framework?.build === undefined) return named
  const program = framework.build.split(' ')[0] ?? ''
  const text = buildScriptOf(json, program)
  return text === undefined ? undefined : Object.keys(json.scripts).find(name => json.scripts[name] === text)
}

/** A workspace is built after those it needs, by the tool that knows about them where there is one. */
function workspaceBuild(
  { manager, workspaces, root, framework }: BuildInputs,
  folder: string,
): { command: string; why: string } | undefined {
  const order = workspaces === undefined ? [] : buildOrder(workspaces, folder)
  const own = order.at(-1)
  const name = own?.json.name
  const script = own === undefined ? undefined : buildScript(own.json, framework)
  if (name !== undefined && script !== undefined) {
    if (dependsOn(root, 'turbo'))
      return {
        command: programCommand(manager, `turbo run ${script} --filter=${name}`),
        why: 'Turborepo is a dependency',
      }
    if (dependsOn(root, 'nx'))
      return { command: programCommand(manager, `nx run ${name}:${script}`), why: 'Nx is a dependency' }
  }
  const commands = order.flatMap(member => {
    const wanted = member === own ? script : buildScript(member.json, undefined)
    return wanted === undefined ? [] : [scriptCommand(manager, wanted, member.folder)]
  })
  if (script === undefined && framework?.build !== undefined)
    commands.push(`cd ${quoted(folder)} && ${programCommand(manager, framework.build)}`)
  if (commands.length === 0) return undefined
  const needed = commands.length > 1 ? 'those it needs first' : 'it has a build script'
  return { command: commands.join(' && '), why: `the workspace ${folder} is built, ${needed}` }
}

function installOf(inputs: {
  manager: PackageManager
  root: PackageJson
  json: PackageJson
  workspaces: Workspaces | undefined
  builds: boolean
  plans: readonly api.ProcessPlan[]
  findings: Findings
}): string | undefined {
  const { manager, root, json, workspaces, builds, plans, findings } = inputs
  const needed = neededToRun(json, plans)
  if (needed !== undefined)
    findings.found('development dependencies are kept', `${needed}, which runs when it starts, is one of them`)
  // Dev dependencies are there for what runs while building, and are pruned after it.
  const dev =
    builds ||
    needed !== undefined ||
    workspaces !== undefined ||
    installScripts.some(name => root.scripts[name] !== undefined)
  const wanted = Object.keys(root.dependencies).length + (dev ? Object.keys(root.devDependencies).length : 0)
  // Yarn 2 and later run nothing in a project that it has not installed.
  if (wanted === 0 && workspaces === undefined && !isBerry(manager)) {
    findings.found('install: nothing', 'package.json has no dependencies that are needed')
    return undefined
  }
  const command = installCommand(manager, { frozen: manager.lock !== undefined, production: !dev })
  if (manager.lock === undefined)
    findings.warn(
      `There is no ${usualLock[manager.name]}: versions are chosen anew at each install. Commit one to keep them.`,
    )
  findings.found(
    `install: ${command}`,
    manager.lock === undefined ? 'package.json has dependencies' : `${manager.lock} is there`,
  )
  return command
}

const usualLock = { npm: 'package-lock.json', pnpm: 'pnpm-lock.yaml', yarn: 'yarn.lock', bun: 'bun.lock' } as const
