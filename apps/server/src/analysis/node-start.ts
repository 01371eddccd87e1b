/** How a Node project, or one of its workspaces, starts: its script, what it is made with, its entry file. */
import type { api } from '@coderunner/contract'
import semver from 'semver'
import { nodeScriptOf, plainWords } from './command-line.ts'
import type { Findings } from './findings.ts'
import { type Framework, type FrameworkProject, frameworks, type Server, type Site } from './frameworks.ts'
import { dependsOn, type PackageJson } from './package-json.ts'
import { type Manager, programCommand, quoted, scriptCommand } from './package-manager-commands.ts'
import type { ProjectFiles } from './project-files.ts'

/** The folder that is deployed: the project's own, or that of a workspace. */
export interface NodePart {
  /** Of the folder. */
  files: ProjectFiles
  json: PackageJson
  isWorkspace: boolean
}

export type Outcome = { framework: Framework | undefined } & (
  | { kind: 'server'; command: string }
  | ({ kind: 'site' } & Omit<Site, 'kind' | 'useless'>)
)

const scripts = ['server.js', 'index.js', 'server.mjs', 'index.mjs', 'server.cjs', 'index.cjs']
const typeScripts = ['server.ts', 'index.ts', 'main.ts', 'src/server.ts', 'src/index.ts', 'src/main.ts']
/** Looked for in this order when package.json names nothing. */
export const nodeEntries = [...scripts, ...typeScripts, 'app.js', 'main.js']
/** Those that say by themselves, without a package.json, that it is a Node project. */
export const bareEntries = [...scripts, ...typeScripts]

/** What it is made with, and what its build makes. */
export async function recognise(
  part: NodePart,
): Promise<{ framework: Framework; outcome: Server | Site | undefined } | undefined> {
  const project: FrameworkProject = {
    json: part.json,
    has: path => part.files.has(path),
    async config(...paths) {
      const path = paths.find(candidate => part.files.has(candidate))
      const text = path === undefined ? '' : ((await part.files.read(path)) ?? '')
      return text.replace(/^\s*\/\/.*$/gm, '').replace(/\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\//g, '')
    },
  }
  const framework = frameworks.find(
    ({ packages, recognised }) => packages.some(name => dependsOn(part.json, name)) && (recognised?.(project) ?? true),
  )
  return framework === undefined ? undefined : { framework, outcome: await framework.outcome(project) }
}

/** How it is run, or undefined when nothing says it. `pnp`: programs are found by Yarn alone. */
export async function outcomeOf(
  part: NodePart,
  manager: Manager & { pnp: boolean },
  nodeVersion: string,
  findings: Findings,
): Promise<Outcome | undefined> {
  const recognised = await recognise(part)
  const { framework, outcome } = recognised ?? {}
  const script = part.json.scripts['start']
  const develops =
    script !== undefined &&
    (framework?.development?.test(script) === true ||
      (outcome?.kind === 'site' && outcome.useless?.test(script) === true))
  if (framework !== undefined)
    findings.found(framework.name, `${framework.packages.find(name => dependsOn(part.json, name))} is a dependency`)
  if (script !== undefined && !(develops && outcome !== undefined))
    return { kind: 'server', framework, command: startOfScript(part, manager, script, findings) }
  if (develops) findings.found('not the start script', `“${script}” is not how ${framework?.name} is run in production`)
  if (outcome?.kind === 'site') {
    findings.found(`static site in ${outcome.output}/`, `that is where ${framework?.name} puts what it builds`)
    const { output, indexFallback } = outcome
    return { kind: 'site', framework, output, indexFallback }
  }
  if (outcome?.kind === 'server') {
    if (outcome.note !== undefined) findings.found(`${framework?.name}: ${outcome.note}`, 'it makes a server to run')
    const command = programOf(part, manager, outcome.start)
    findings.found(`start: ${command}`, `that is how ${framework?.name} is run`)
    return { kind: 'server', framework, command }
  }
  const entry = entryOf(part, findings)
  if (entry === undefined) return undefined
  const command = fileCommand(entry.file, part.json, manager, nodeVersion, findings)
  findings.found(`start: ${command}`, entry.why)
  return { kind: 'server', framework, command }
}

function startOfScript(
  { files, json }: NodePart,
  manager: Manager & { pnp: boolean },
  script: string,
  findings: Findings,
): string {
  const direct = nodeScriptOf(script) ?? (manager.name === 'bun' ? bunScriptOf(script) : undefined)
  const wrapped = ['prestart', 'poststart'].filter(name => json.scripts[name] !== undefined)
  if (direct === undefined || wrapped.length > 0 || manager.pnp) {
    const why = wrapped.length > 0 ? `there is a ${wrapped[0]} script too` : `the start script is “${script}”`
    const command = scriptCommand(manager, 'start')
    findings.found(`start: ${command}`, why)
    return command
  }
  findings.found(
    `start: ${script}`,
    `the start script of package.json, run without ${manager.name} because it is plain`,
  )
  const { file } = direct
  const builds = ['build', 'heroku-postbuild', 'postinstall', 'prepare'].some(name => json.scripts[name] !== undefined)
  if (file !== undefined && !builds && resolveMain(files, file) === undefined)
    findings.warn(
      `The start script runs ${file}, which is not among the files, and there is no build script to make it.`,
    )
  return script.trim()
}

/** `bun index.ts`: as plain as `node index.js` is. */
function bunScriptOf(script: string): { file: string } | undefined {
  const file = /^bun (?:run )?([\w./-]+\.[cm]?[jt]sx?)$/.exec(script.trim())?.[1]
  return file === undefined ? undefined : { file }
}

function programOf({ isWorkspace }: NodePart, manager: Manager & { pnp: boolean }, start: string): string {
  if (nodeScriptOf(start) !== undefined && !manager.pnp) return start
  if (!/^[\w-]+(?: |$)/.test(start)) return start
  if (start.startsWith('node ') || start.startsWith('npm ')) return manager.pnp ? `yarn ${start}` : start
  // Directly where it is sure to lie, as starting the package manager first takes its time.
  return isWorkspace || manager.pnp ? programCommand(manager, start) : `node_modules/.bin/${start}`
}

function entryOf({ files, json }: NodePart, findings: Findings): { file: string; why: string } | undefined {
  const { main } = json
  if (main !== undefined) {
    const file = resolveMain(files, main)
    if (file !== undefined) return { file, why: 'package.json has this as its "main" and no start script' }
    // `npm init` writes an index.js that nobody has to make; what lies in a folder is what the build makes.
    if (json.scripts['build'] !== undefined && main.replace(/^\.\//, '').includes('/'))
      return { file: main.replace(/^\.\//, ''), why: 'package.json has this as its "main", and the build makes it' }
    findings.noted(`"main" of package.json is ${main}, which is not among the files`)
  }
  const file = nodeEntries.find(path => files.has(path))
  return file === undefined ? undefined : { file, why: `${file} is there and package.json names nothing else` }
}

/** Where Node finds a module path: the file, with an ending, or a folder's index. */
function resolveMain(files: ProjectFiles, main: string): string | undefined {
  const path = main.replace(/^(?:\.\/)+/, '').replace(/\/+$/, '')
  const at = path === '.' || path === '' ? '' : `${path}/`
  return [path, `${path}.js`, `${path}.cjs`, `${path}.mjs`, `${path}.ts`, `${at}index.js`, `${at}index.ts`].find(
    candidate => files.has(candidate),
  )
}

/** Types are stripped by Node itself since this version. */
const stripsTypes = '>=22.18.0 <23 || >=23.6.0'

export function fileCommand(
  file: string,
  json: PackageJson | undefined,
  manager: (Manager & { pnp: boolean }) | undefined,
  nodeVersion: string,
  findings: Findings,
): string {
  const path = quoted(file)
  if (manager?.name === 'bun') return `bun ${path}`
  if (manager?.pnp === true) return `yarn node ${path}`
  if (!/\.[cm]?tsx?$/.test(file)) return `node ${path}`
  if (json !== undefined && dependsOn(json, 'tsx')) return `node --import tsx ${path}`
  if (semver.satisfies(nodeVersion, stripsTypes)) findings.found('TypeScript', 'Node runs it by stripping its types')
  else
    findings.warn(
      `Node ${nodeVersion} does not run ${file}: add tsx to the dependencies, or ask for Node 22.18 or later (engines.node).`,
    )
  return `node ${path}`
}

/** Programs whose name is not that of the package that brings them. */
const packageOfProgram: Readonly<Record<string, string>> = {
  tsc: 'typescript',
  nest: '@nestjs/cli',
  ng: '@angular/cli',
  'babel-node': '@babel/node',
  'ts-node-dev': 'ts-node-dev',
  dotenv: 'dotenv-cli',
  'remix-serve': '@remix-run/serve',
  'react-router-serve': '@react-router/serve',
  sirv: 'sirv-cli',
  turbo: 'turbo',
  'webpack-dev-server': 'webpack-dev-server',
  webpack: 'webpack-cli',
  eleventy: '@11ty/eleventy',
  docusaurus: '@docusaurus/core',
  knex: 'knex',
  'ts-node-esm': 'ts-node',
}

/** The development dependency that one of the commands runs, so that it may not be taken out; undefined when there is none. */
export function neededToRun(json: PackageJson, processes: readonly api.ProcessPlan[]): string | undefined {
  const seen = new Set<string>()
  const inCommand = (command: string): string | undefined => {
    if (seen.has(command)) return undefined
    seen.add(command)
    const words = plainWords(command) ?? command.split(/[\s;&|()'"]+/)
    for (const [index, word] of words.entries()) {
      const name = word.replace(/^(?:\.\/)?node_modules\/\.bin\//, '')
      const path = /^(@[\w.-]+\/[\w.-]+|[\w.-]+)(?:\/.*)?$/.exec(name)?.[1] ?? name
      const owner = packageOfProgram[name] ?? path
      if (json.devDependencies[owner] !== undefined && json.dependencies[owner] === undefined) return owner
      const script = json.scripts[word]
      const runs = index > 0 && (word === 'start' || ['run', 'run-script'].includes(words[index - 1] ?? ''))
      const found = script !== undefined && runs ? inCommand(script) : undefined
      if (found !== undefined) return found
    }
    return undefined
  }
  for (const { command } of processes) {
    const found = inCommand(command)
    if (found !== undefined) return found
  }
  return undefined
}
