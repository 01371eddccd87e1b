import type { api } from '@coderunner/contract'
import semver from 'semver'
import { nodeScriptOf } from './command-line.ts'
import type { Findings } from './findings.ts'
import { installScripts, type PackageJson } from './package-json.ts'
import type { ProjectFiles } from './project-files.ts'

/** Looked for in this order when package.json names nothing. */
export const nodeEntries = ['server.js', 'index.js']

export type NodeDetection = Pick<api.Detection, 'nodeVersion' | 'packageManager' | 'install' | 'build' | 'processes'>

/** How a Node project starts: its command, or undefined when there is none. */
export function nodeStart(files: ProjectFiles, json: PackageJson | undefined, findings: Findings): string | undefined {
  const script = json?.scripts['start']
  if (json !== undefined && script !== undefined) return startOfScript(files, json, script, findings)
  const main = json?.main === undefined ? undefined : resolveMain(files, json.main)
  if (main !== undefined) {
    findings.found(`start: node ${main}`, 'package.json has this as its "main" and no start script')
    return commandOf(main)
  }
  if (json?.main !== undefined)
    findings.noted(`"main" of package.json is ${json.main}, which is not among the files`)
  const entry = nodeEntries.find(path => files.has(path))
  if (entry === undefined) return undefined
  findings.found(`start: node ${entry}`, `${entry} is there and package.json names nothing else`)
  return commandOf(entry)
}

function startOfScript(files: ProjectFiles, json: PackageJson, script: string, findings: Findings): string {
  const direct = nodeScriptOf(script)
  const wrapped = ['prestart', 'poststart'].filter(name => json.scripts[name] !== undefined)
  if (direct === undefined || wrapped.length > 0) {
    const why = wrapped.length > 0 ? `there is a ${wrapped[0]} script too` : `the start script is “${script}”`
    findings.found('start: npm start', why)
    return 'npm start'
  }
  findings.found(`start: ${script}`, 'the start script of package.json, run without npm because it is plain')
  const { file } = direct
  if (file !== undefined && json.scripts['build'] === undefined && resolveMain(files, file) === undefined)
    findings.warn(`The start script runs ${file}, which is not among the files, and there is no build script to make it.`)
  return script.trim()
}

/** Where Node finds a module path: the file, with an ending, or a folder's index. */
function resolveMain(files: ProjectFiles, main: string): string | undefined {
  const path = main.replace(/^(?:\.\/)+/, '').replace(/\/+$/, '')
  const at = path === '.' || path === '' ? '' : `${path}/`
  return [path, `${path}.js`, `${path}.cjs`, `${path}.mjs`, `${at}index.js`].find(candidate => files.has(candidate))
}

function commandOf(file: string): string {
  return /^[A-Za-z0-9_./@-]+$/.test(file) ? `node ${file}` : `node "${file}"`
}

export function analyzeNode(
  files: ProjectFiles,
  json: PackageJson | undefined,
  start: string,
  nodeVersion: string,
  findings: Findings,
): NodeDetection {
  const build = json?.scripts['build'] === undefined ? undefined : 'npm run build'
  if (build !== undefined) findings.found(`build: ${build}`, 'package.json has a build script')
  const install = json === undefined ? undefined : installCommand(files, json, build !== undefined, findings)
  noteVersion(json?.nodeRange, nodeVersion, findings)
  return {
    nodeVersion,
    ...(install === undefined ? {} : { install, packageManager: 'npm' }),
    ...(build === undefined ? {} : { build }),
    processes: [{ type: 'web', command: start, count: 1 }],
  }
}

const foreignLocks = { 'yarn.lock': 'Yarn', 'pnpm-lock.yaml': 'pnpm', 'bun.lock': 'Bun', 'bun.lockb': 'Bun' }
const npmLocks = ['package-lock.json', 'npm-shrinkwrap.json']

function installCommand(
  files: ProjectFiles,
  json: PackageJson,
  builds: boolean,
  findings: Findings,
): string | undefined {
  for (const [lock, manager] of Object.entries(foreignLocks))
    if (files.has(lock)) findings.warn(`${lock} is ${manager}’s; npm installs here and does not read it.`)
  const other = json.packageManager?.split('@')[0]
  if (other !== undefined && other !== 'npm')
    findings.warn(`package.json asks for ${json.packageManager}; npm installs here.`)
  // Dev dependencies are there for what runs while building, and are pruned after it.
  const dev = builds || installScripts.some(name => json.scripts[name] !== undefined)
  const wanted = json.dependencies + (dev ? json.devDependencies : 0)
  if (wanted === 0 && !json.hasWorkspaces) {
    findings.found('install: nothing', 'package.json has no dependencies that are needed')
    return undefined
  }
  const lock = npmLocks.find(path => files.has(path))
  const command = `npm ${lock === undefined ? 'install' : 'ci'}${dev ? '' : ' --omit=dev'}`
  if (lock === undefined)
    findings.warn('There is no package-lock.json: versions are chosen anew at each install. Commit one to keep them.')
  findings.found(`install: ${command}`, lock === undefined ? 'package.json has dependencies' : `${lock} is there`)
  return command
}

function noteVersion(range: string | undefined, version: string, findings: Findings): void {
  if (range === undefined) return findings.found(`Node ${version}`, 'package.json asks for no version')
  if (semver.validRange(range) === null)
    return findings.warn(`“${range}” (engines.node of package.json) is not a version range; Node ${version} is used.`)
  if (semver.satisfies(version, range)) return findings.found(`Node ${version}`, `engines.node is ${range}`)
  findings.warn(`package.json asks for Node ${range} (engines.node); Node ${version} is used.`)
}

