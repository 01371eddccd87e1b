/**
 * Says how a project is built and started, from its files alone: what was asked for explicitly, then a package.json that
 * names a start, then a static site, then a bare `server.js` or `index.js`. Pure: reads, decides, explains.
 */
import { AppError, type api } from '@coderunner/contract'
import { analyzeNode, nodeEntries, nodeStart } from './analyze-node.ts'
import { Findings } from './findings.ts'
import { type PackageJson, readPackageJson } from './package-json.ts'
import { type ProjectFiles, topLevel } from './project-files.ts'
import { staticRoot } from './static-root.ts'

export interface Wishes {
  runtime?: 'nodejs' | 'static'
  start?: string
  port?: number
}

/** `nodeVersion`: the one sandboxes have. */
export async function analyzeProject(
  files: ProjectFiles,
  wishes: Wishes,
  nodeVersion: string,
): Promise<api.Detection> {
  const findings = new Findings()
  const isStatic = wishes.runtime === 'static'
  const json = isStatic ? undefined : await readPackageJson(files)
  const chosen = isStatic ? undefined : chooseStart(files, json, wishes, findings)
  if (chosen !== undefined)
    return complete(wishes, findings, {
      runtime: 'nodejs',
      ...analyzeNode(files, json, chosen, nodeVersion, findings),
    })
  const root = wishes.runtime === 'nodejs' ? undefined : staticSite(files, json, findings)
  if (root === undefined) throw nothingToRun(files, wishes, findings)
  if (isStatic) findings.found('runtime: static', 'it was asked for')
  return complete(wishes, findings, { runtime: 'static', root, processes: [] })
}

function chooseStart(
  files: ProjectFiles,
  json: PackageJson | undefined,
  wishes: Wishes,
  findings: Findings,
): string | undefined {
  if (wishes.start !== undefined) {
    findings.found(`start: ${wishes.start}`, 'it was asked for')
    return wishes.start
  }
  // An index.js beside an index.html and without a package.json is a script of the page.
  const page = json === undefined && wishes.runtime === undefined && files.has('index.html') && !files.has('server.js')
  return page ? undefined : nodeStart(files, json, findings)
}

function staticSite(files: ProjectFiles, json: PackageJson | undefined, findings: Findings): string | undefined {
  if (json?.scripts['build'] !== undefined) {
    findings.noted(
      'package.json has a build script but nothing to start; add a start script, or choose the static runtime to serve the files as they are',
    )
    return undefined
  }
  return staticRoot(files, findings)
}

function complete(
  wishes: Wishes,
  { findings, warnings }: Findings,
  detection: Omit<api.Detection, 'findings' | 'warnings'>,
): api.Detection {
  if (wishes.port !== undefined && detection.runtime === 'nodejs') {
    findings.push({ what: `port ${wishes.port}`, why: 'it was asked for' })
    return { ...detection, port: wishes.port, findings, warnings }
  }
  return { ...detection, findings, warnings }
}

function nothingToRun(files: ProjectFiles, wishes: Wishes, { notes }: Findings): AppError {
  const node = ['a start script or "main" in package.json', ...nodeEntries]
  const site = ['index.html', 'public/']
  const looked = wishes.runtime === 'nodejs' ? node : wishes.runtime === 'static' ? site : [...node, ...site]
  const listing = files.paths.length === 0 ? 'There are no files at all.' : `Found: ${topLevel(files.paths).join('  ')}`
  return new AppError(
    'nothing_to_run',
    [`Nothing to run was found. Looked for ${looked.join(', ')}.`, ...notes.map(note => `Note: ${note}.`), listing].join(
      '\n',
    ),
  )
}
