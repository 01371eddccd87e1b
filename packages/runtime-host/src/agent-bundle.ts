/**
 * The agent as sandboxes get it: a copy named by its content, of plain JavaScript (stripping the types at every start
 * would take longer than the rest of the start), readable by all whatever the rights of this repository's files are.
 * A sandbox keeps the copy it began with when another version of this program takes over.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { buildOnce } from './base/build-once.ts'

const run = promisify(execFile)

/** The main module below the bundle's directory. */
export const AGENT_ENTRY = 'agent/src/main.js'
/** An empty file below it: where the agent's own Node is shown, whatever Node the sandbox has. */
export const AGENT_NODE = 'node'

/** Found by name from the agent's own package: prebuilt terminals. */
const NATIVE_PACKAGES = ['@lydell/node-pty', `@lydell/node-pty-${process.platform}-${process.arch}`]

const STRIP_TYPES = fileURLToPath(new URL('./strip-types.ts', import.meta.url))
const RELATIVE_TYPESCRIPT = /(['"])(\.{1,2}\/[^'"\n]+)\.ts\1/g

/** @returns the directory of the bundle, made now unless it is there */
export async function ensureAgentBundle({ cacheDir }: { cacheDir: string }): Promise<string> {
  const agent = findPackageJSON('@coderunner/agent', import.meta.url)
  if (agent === undefined) throw new Error('The package @coderunner/agent is not installed.')
  const sources = await readSources(join(dirname(agent), 'src'))
  const packages = NATIVE_PACKAGES.map(name => ({ name, manifest: findPackageJSON(name, agent) }))
  const digest = createHash('sha256').update(AGENT_NODE)
  for (const { manifest } of packages) if (manifest !== undefined) digest.update(await readFile(manifest))
  for (const [name, text] of sources) digest.update(`${name}\0${text}\0`)
  const target = join(cacheDir, 'agent', digest.digest('hex').slice(0, 16))
  await buildOnce(target, async making => {
    for (const [name, text] of sources) {
      const path = join(making, 'agent/src', name.replace(/\.ts$/, '.js'))
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, text.replaceAll(RELATIVE_TYPESCRIPT, '$1$2.js$1'))
    }
    await run(process.execPath, ['--disable-warning=ExperimentalWarning', STRIP_TYPES, join(making, 'agent/src')])
    await writeFile(join(making, 'agent/package.json'), '{"type":"module"}\n')
    for (const { name, manifest } of packages) {
      if (manifest === undefined) continue
      await cp(dirname(manifest), join(making, 'node_modules', name), { recursive: true, dereference: true })
    }
    await writeFile(join(making, AGENT_NODE), '')
    await openToAll(making)
  })
  return target
}

async function readSources(directory: string): Promise<[name: string, text: string][]> {
  const names = (await readdir(directory, { recursive: true })).filter(
    name => name.endsWith('.ts') && !name.endsWith('.test.ts'),
  )
  return Promise.all(
    names.sort().map(async (name): Promise<[string, string]> => [name, await readFile(join(directory, name), 'utf8')]),
  )
}

/** Rights do not depend on the umask, nor on those of what was copied. */
async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644)
  }
}
