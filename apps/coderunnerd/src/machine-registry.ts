/** Where this machine gets its packages, for builders that have nothing of the machine. Never anybody's token. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { publicUrl } from './public-url.ts'
import { readPythonIndex } from './python-index.ts'

export interface MachineRegistry {
  /** For a builder's environment. */
  env: Record<string, string>
  /** Host names that a builder has to reach, wherever they lie. */
  hosts: string[]
}

/** The sandbox's own bundle, over which the machine's is shown. */
const sandboxCaBundle = '/etc/ssl/certs/ca-certificates.crt'
const wanted = ['registry', 'https-proxy', 'proxy', 'noproxy', 'strict-ssl', 'cafile'] as const
type Setting = (typeof wanted)[number]
const aliases: Record<string, Setting> = { 'http-proxy': 'proxy', 'no-proxy': 'noproxy' }
const maxFileBytes = 64 * 1024

/**
 * As npm would, without asking it: its environment variables, then the user's file, then the machine's.
 * @param homes of the user, and of the one who called sudo
 */
export function readMachineRegistry(
  env: Readonly<Record<string, string | undefined>>,
  homes: readonly string[] = homesOf(env),
): MachineRegistry {
  const files = [
    env['npm_config_userconfig'] ?? env['NPM_CONFIG_USERCONFIG'],
    ...homes.map(home => join(home, '.npmrc')),
    env['npm_config_globalconfig'] ?? env['NPM_CONFIG_GLOBALCONFIG'],
    // The pinned Node brings no npm: the prefix is that of the machine's own.
    '/usr/local/etc/npmrc',
    '/usr/etc/npmrc',
    '/etc/npmrc',
    join(dirname(dirname(process.execPath)), 'etc/npmrc'),
  ]
  const sources = [fromEnvironment(env), ...files.map(file => (file === undefined ? {} : fromFile(file, env)))]
  const settings: Partial<Record<Setting, string>> = Object.assign({}, ...sources.toReversed())
  const httpsProxy = settings['https-proxy'] ?? env['HTTPS_PROXY'] ?? env['https_proxy']
  const proxy = settings.proxy ?? env['HTTP_PROXY'] ?? env['http_proxy']
  const noProxy = settings.noproxy ?? env['NO_PROXY'] ?? env['no_proxy']
  const hasBundle = settings.cafile !== undefined || env['NODE_EXTRA_CA_CERTS'] !== undefined
  const registry = publicUrl(settings.registry) ?? npmsOwnRegistry()
  const result: Record<string, string | undefined> = {
    npm_config_registry: registry,
    npm_config_strict_ssl: settings['strict-ssl'] === 'false' ? 'false' : undefined,
    npm_config_cafile: hasBundle ? sandboxCaBundle : undefined,
    NODE_EXTRA_CA_CERTS: hasBundle ? sandboxCaBundle : undefined,
    HTTP_PROXY: publicUrl(proxy),
    HTTPS_PROXY: publicUrl(httpsProxy),
    NO_PROXY: noProxy,
    ...readPythonIndex(env, homes),
  }
  const present = Object.entries(result).filter((entry): entry is [string, string] => (entry[1] ?? '') !== '')
  const indexes = [result['PIP_INDEX_URL'], ...(result['PIP_EXTRA_INDEX_URL']?.split(' ') ?? [])]
  const hosts = [registry, result['HTTP_PROXY'], result['HTTPS_PROXY'], ...indexes].flatMap(url =>
    url === undefined ? [] : [new URL(url).hostname],
  )
  return { env: Object.fromEntries(present), hosts: [...new Set(hosts)] }
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Partial<Record<Setting, string>> {
  const found: Partial<Record<Setting, string>> = {}
  for (const [name, value] of Object.entries(env)) {
    const match = /^npm_config_(.+)$/i.exec(name)
    const setting = match?.[1] === undefined ? undefined : settingOf(match[1].toLowerCase().replaceAll('_', '-'))
    if (setting !== undefined && value !== undefined && value !== '') found[setting] = value
  }
  return found
}

function fromFile(path: string, env: Readonly<Record<string, string | undefined>>): Partial<Record<Setting, string>> {
  let content: string
  try {
    content = readFileSync(path, 'utf8').slice(0, maxFileBytes)
  } catch {
    return {} // most machines have none of these files
  }
  const found: Partial<Record<Setting, string>> = {}
  for (const line of content.split(/\r?\n/)) {
    const match = /^\s*([\w-]+)\s*=\s*"?(.*?)"?\s*$/.exec(line)
    const setting = match?.[1] === undefined ? undefined : settingOf(match[1])
    const value = match?.[2]?.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => env[name] ?? '')
    if (setting !== undefined && value !== undefined && value !== '') found[setting] = value
  }
  return found
}

function settingOf(name: string): Setting | undefined {
  return aliases[name] ?? wanted.find(setting => setting === name)
}

/** What npm uses where nothing is set, from npm itself. */
function npmsOwnRegistry(): string {
  const npm = createRequire(createRequire(import.meta.url).resolve('npm/package.json'))
  return (npm('@npmcli/config/lib/definitions') as { defaults: { registry: string } }).defaults.registry
}

function homesOf(env: Readonly<Record<string, string | undefined>>): string[] {
  const caller = env['SUDO_USER']
  if (caller === undefined) return [homedir()]
  const account = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find(line => line.startsWith(`${caller}:`))
  const home = account?.split(':')[5]
  return home === undefined ? [homedir()] : [homedir(), home]
}
