import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AgentError } from '../agent-error.ts'
import type { AgentConfig } from '../config.ts'

/** A request to start a process, checked, with everything that depends on the sandbox filled in. */
export interface ProcessOrder {
  argv: readonly [string, ...string[]]
  env: Record<string, string>
  cwd: string
  ids?: { uid: number; gid: number }
  stdin: boolean
  pty?: { cols: number; rows: number }
  timeoutMs?: number
}

export async function readOrder(body: Record<string, unknown>, config: AgentConfig): Promise<ProcessOrder> {
  const asRoot = oneOf(body['user'] ?? 'user', ['user', 'root'], 'user') === 'root'
  if (asRoot && config.user.ids === undefined) {
    throw new AgentError('not_supported', 'Programs of this sandbox cannot run as root.')
  }
  const cwd = resolve(config.appDir, text(body['cwd'] ?? '', 'cwd'))
  const about = await stat(cwd).catch(() => undefined)
  if (about?.isDirectory() !== true) throw new AgentError('invalid_request', `There is no directory ${cwd}.`)
  const account = asRoot
    ? { HOME: '/root', USER: 'root', LOGNAME: 'root' }
    : { HOME: config.user.home, USER: config.user.name, LOGNAME: config.user.name }
  const ids = asRoot ? { uid: 0, gid: 0 } : config.user.ids
  return {
    argv: argvOf(body['argv']),
    cwd,
    env: { ...config.env, ...account, ...envOf(body['env'] ?? {}) },
    stdin: oneOf(body['stdin'] ?? 'none', ['none', 'pipe'], 'stdin') === 'pipe',
    ...(ids !== undefined && { ids }),
    ...(body['pty'] !== undefined && { pty: sizeOf(body['pty']) }),
    ...(body['timeoutMs'] !== undefined && {
      timeoutMs: whole(body['timeoutMs'], 1, 2 ** 31 - 1, 'timeoutMs'),
    }),
  }
}

export function sizeOf(value: unknown): { cols: number; rows: number } {
  const size = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  return { cols: whole(size['cols'], 1, 4096, 'cols'), rows: whole(size['rows'], 1, 4096, 'rows') }
}

export function oneOf<T extends string>(value: unknown, known: readonly T[], name: string): T {
  const found = known.find(word => word === value)
  if (found === undefined) throw new AgentError('invalid_request', `${name} has to be one of ${known.join(', ')}.`)
  return found
}

export function text(value: unknown, name: string): string {
  if (typeof value === 'string' && !value.includes('\0')) return value
  throw new AgentError('invalid_request', `${name} has to be a text without zero bytes.`)
}

function whole(value: unknown, least: number, most: number, name: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new AgentError('invalid_request', `${name} has to be a whole number from ${least} to ${most}.`)
}

function argvOf(value: unknown): [string, ...string[]] {
  const words = Array.isArray(value) ? value.map(word => text(word, 'argv')) : []
  const [program, ...rest] = words
  if (program === undefined || program === '') throw new AgentError('invalid_request', 'argv names no program.')
  return [program, ...rest]
}

function envOf(value: unknown): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, entry] of Object.entries(value as object)) {
    if (name === '' || name.includes('=')) throw new AgentError('invalid_request', `"${name}" is no variable name.`)
    env[text(name, 'env')] = text(entry, `env.${name}`)
  }
  return env
}
