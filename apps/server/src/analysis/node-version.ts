/** Which Node a project asks for, by the file that says so, and the published version that is. */
import { AppError } from '@coderunner/contract'
import semver from 'semver'
import { parse as parseToml } from 'smol-toml'
import type { Findings } from './findings.ts'
import type { PackageJson } from './package-json.ts'
import type { ProjectFiles } from './project-files.ts'
import type { SoftwareVersions } from './software-versions.ts'

interface AskedFor {
  range: string
  /** Such as `engines.node of package.json`. */
  by: string
}

/** Long-term versions by the names that nvm takes. */
const longTerm: Readonly<Record<string, string>> = {
  carbon: '8',
  dubnium: '10',
  erbium: '12',
  fermium: '14',
  gallium: '16',
  hydrogen: '18',
  iron: '20',
  jod: '22',
  krypton: '24',
}
const anyVersion = new Set(['', '*', 'x', 'lts', 'lts/*', 'node', 'stable', 'latest', 'current', 'system', 'default'])

/** Files and package.json of a folder. */
export interface VersionFiles {
  files: ProjectFiles
  json: PackageJson | undefined
}

/** The exact version that the first of the folders asks for; the one every sandbox has where the project allows it. */
export async function chooseNodeVersion(
  folders: readonly VersionFiles[],
  versions: SoftwareVersions,
  findings: Findings,
): Promise<string> {
  const { defaultNode } = versions
  let asked: AskedFor | undefined
  for (const folder of folders) asked ??= await askedFor(folder)
  if (asked === undefined) {
    findings.found(`Node ${defaultNode}`, 'the project asks for no version')
    return defaultNode
  }
  const range = rangeOf(asked)
  const why = `${asked.by} is ${asked.range}`
  if (range === undefined || semver.satisfies(defaultNode, range)) {
    findings.found(`Node ${defaultNode}`, why)
    return defaultNode
  }
  const version = await versions.node(range)
  if (version === undefined)
    throw new AppError(
      'build_failed',
      `There is no version of Node that fits “${asked.range}” (${asked.by}). Write for example "24.x" or ">=20".`,
    )
  findings.found(`Node ${version}`, why)
  return version
}

async function askedFor({ files, json }: VersionFiles): Promise<AskedFor | undefined> {
  const engine = json?.engines['node']
  if (engine !== undefined) return { range: engine, by: 'engines.node of package.json' }
  for (const file of ['.nvmrc', '.node-version']) {
    const line = firstLine(await files.read(file))
    if (line !== undefined) return { range: line, by: file }
  }
  const tools = /^[^\S\n]*(?:nodejs|node)[^\S\n]+(\S+)/m.exec((await files.read('.tool-versions')) ?? '')?.[1]
  if (tools !== undefined) return { range: tools, by: '.tool-versions' }
  for (const file of ['mise.toml', '.mise.toml']) {
    const range = miseNode(await files.read(file))
    if (range !== undefined) return { range, by: file }
  }
  return json?.voltaNode === undefined ? undefined : { range: json.voltaNode, by: 'volta.node of package.json' }
}

/** Undefined when any version will do. Throws when it is no range. */
function rangeOf({ range: text, by }: AskedFor): string | undefined {
  const word = text.trim().toLowerCase()
  if (anyVersion.has(word)) return undefined
  const named = longTerm[word.replace(/^lts[/-]/, '')]
  if (named !== undefined) return named
  const range = semver.validRange(word.replace(/^node[@-]?(?=v?\d)/, ''))
  if (range === null)
    throw new AppError(
      'build_failed',
      `“${text}” (${by}) is not a version range of Node. Write for example "24.x", ">=20" or "22.11.0".`,
    )
  return range === '*' ? undefined : range
}

function firstLine(text: string | undefined): string | undefined {
  return text
    ?.split('\n')
    .map(line => line.replace(/#.*/, '').trim())
    .find(line => line !== '')
}

function miseNode(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  try {
    const tools = parseToml(text)['tools']
    const node = typeof tools === 'object' && tools !== null && 'node' in tools ? tools.node : undefined
    return typeof node === 'string' ? node : undefined
  } catch {
    return undefined // It is mise's to complain of.
  }
}
