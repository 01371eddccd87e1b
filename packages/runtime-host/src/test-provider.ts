/** Providers for tests: each with a data directory and an instance of its own, checked to leave nothing. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { HostProviderOptions } from './host-options.ts'
import { HostProvider } from './host-provider.ts'
import { instanceOf } from './instance.ts'
import { CERTIFICATES } from './jail/machine-files.ts'
import { findLeaks } from './leaks.ts'

export interface TestHost {
  options: HostProviderOptions
  /** Removes what is left of the instance by starting a provider on it, and asserts that then nothing is. */
  clean(): Promise<void>
}

/** Where npm gets its packages when nothing is said. */
export function machineRegistry(): Record<string, string> {
  const npm = join(dirname(createRequire(import.meta.url).resolve('npm/package.json')), 'bin/npm-cli.js')
  const registry = execFileSync(process.execPath, [npm, 'config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  return { npm_config_registry: registry, ...(existsSync(CERTIFICATES) ? { NODE_EXTRA_CA_CERTS: CERTIFICATES } : {}) }
}

export function makeTestHost(): TestHost {
  const directory = mkdtempSync(join(tmpdir(), 'cr-host-'))
  const instance = instanceOf(directory)
  const runDir = join('/run/coderunner', instance)
  const dataDir = join(directory, 'host')
  const options = { dataDir, runDir, cacheDir: '/var/cache/coderunner', instance, registryEnv: machineRegistry() }
  return {
    options,
    clean: async () => {
      const provider = await HostProvider.start(options)
      await provider.remove()
      assert.deepEqual(await findLeaks(options), [])
      rmSync(directory, { recursive: true })
      rmSync(runDir, { recursive: true, force: true })
    },
  }
}
