/** Where this machine gets its Python packages: pip's variables, then its files. Never anybody's token. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { publicUrl } from './public-url.ts'

const maxFileBytes = 64 * 1024

/** For a builder's environment, as pip reads it there. An index that is a folder of the machine is left out. */
export function readPythonIndex(
  env: Readonly<Record<string, string | undefined>>,
  homes: readonly string[],
): Record<'PIP_INDEX_URL' | 'PIP_EXTRA_INDEX_URL' | 'PIP_TRUSTED_HOST', string | undefined> {
  const files = [
    env['PIP_CONFIG_FILE'],
    ...homes.flatMap(home => [join(home, '.config/pip/pip.conf'), join(home, '.pip/pip.conf')]),
    '/etc/pip.conf',
  ]
  const found: Record<string, string> = {}
  for (const path of files.toReversed()) if (path !== undefined) Object.assign(found, fromFile(path))
  const setting = (name: string) => env[`PIP_${name.toUpperCase().replaceAll('-', '_')}`] ?? found[name]
  const extra = (setting('extra-index-url') ?? '').split(/\s+/).flatMap(url => publicUrl(url) ?? [])
  return {
    PIP_INDEX_URL: publicUrl(setting('index-url')),
    PIP_EXTRA_INDEX_URL: extra.length === 0 ? undefined : extra.join(' '),
    PIP_TRUSTED_HOST: setting('trusted-host')?.split(/\s+/).filter(Boolean).join(' '),
  }
}

/** The sections `[global]` and `[install]`; a value goes on in the lines that are indented. */
function fromFile(path: string): Record<string, string> {
  let content: string
  try {
    content = readFileSync(path, 'utf8').slice(0, maxFileBytes)
  } catch {
    return {} // most machines have none of these files
  }
  const found: Record<string, string> = {}
  let section = ''
  let last: string | undefined
  for (const line of content.split(/\r?\n/)) {
    const heading = /^\[(.+)\]\s*$/.exec(line)
    const setting = /^([\w-]+)\s*[=:]\s*(.*?)\s*$/.exec(line)
    if (heading?.[1] !== undefined) [section, last] = [heading[1], undefined]
    else if (!['global', 'install'].includes(section) || /^\s*[#;]/.test(line)) continue
    else if (/^\s+\S/.test(line) && last !== undefined) found[last] = `${found[last]} ${line.trim()}`.trim()
    else if (setting?.[1] !== undefined) found[(last = setting[1].replaceAll('_', '-'))] = setting[2] ?? ''
  }
  return found
}
