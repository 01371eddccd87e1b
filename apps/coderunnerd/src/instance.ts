import { createHash } from 'node:crypto'
import { chmod, chown, lstat, mkdir, realpath, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Config } from './config.ts'

/**
 * Directories of one instance. Everything the instance has on the machine carries its id, so that several live side by
 * side. A socket's directory lets in whose it is and the group of the one that connects.
 */
export interface Instance {
  id: string
  data: { root: string; host: string; server: string; ingress: string; postgres: string; log: string }
  run: { root: string; host: string; server: string; ingress: string; postgres: string }
}

interface Owner {
  uid: number
  gid: number
}

/** Makes what is missing and refuses what belongs to somebody else. */
export async function prepareInstance(config: Config): Promise<Instance> {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const isIsolated = config.runtime === 'host'
  const account = (name: keyof Config['accounts']): Owner =>
    isIsolated ? { uid: config.accounts[name], gid: config.accounts[name] } : own
  const { server, ingress, postgres } = {
    server: account('server'),
    ingress: account('ingress'),
    postgres: account('postgres'),
  }

  await ensureDirectory(config.dataDir, own, 0o700)
  const dataDir = await realpath(config.dataDir)
  const id = instanceId(dataDir)
  const data = placesIn(dataDir, ['host', 'server', 'ingress', 'postgres', 'log'])
  await ensureDirectory(data.host, own, 0o700)
  await ensureDirectory(data.server, server, 0o700)
  await ensureDirectory(data.ingress, ingress, 0o700)
  await ensureDirectory(data.postgres, own, isIsolated ? 0o711 : 0o700)
  await ensureDirectory(data.log, own, 0o700)

  const runParent = config.runParent
  const run = placesIn(join(runParent, id), ['host', 'server', 'ingress', 'postgres'])
  await ensureDirectory(runParent, own, isIsolated ? 0o755 : 0o700, 'XDG_RUNTIME_DIR')
  await ensureDirectory(run.root, own, isIsolated ? 0o711 : 0o700)
  // The group's bit is inherited: a socket made in it belongs to the group and can be opened by it.
  await ensureDirectory(run.host, { ...own, gid: server.gid }, 0o2750)
  await ensureDirectory(run.server, { ...server, gid: ingress.gid }, 0o2750)
  await ensureDirectory(run.ingress, { ...ingress, gid: server.gid }, 0o2750)
  await ensureDirectory(run.postgres, { ...postgres, gid: server.gid }, 0o2750)
  return { id, data, run }
}

/** `cr` and six hexadecimal digits, the same as long as the data stays where it is. */
export function instanceId(realDataDir: string): string {
  return `cr${createHash('sha256').update(realDataDir).digest('hex').slice(0, 6)}`
}

/** Removes our own of the run directory, when nothing of the instance is left running. What others left in it stays. */
export async function removeRunDirectory({ run }: Instance): Promise<void> {
  const ours = [run.host, run.server, run.ingress, run.postgres, join(run.root, 'root'), join(run.root, 'status.json')]
  for (const path of ours) await rm(path, { recursive: true, force: true })
  for (const path of [run.root, dirname(run.root)]) await rmdir(path).catch(() => {}) // another instance's, or not empty
}

function placesIn<Name extends string>(root: string, names: readonly Name[]): { root: string } & Record<Name, string> {
  const places = Object.fromEntries(names.map(name => [name, join(root, name)])) as Record<Name, string>
  return { root, ...places }
}

const obstacles: Record<string, string> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'the file system is read-only',
  EEXIST: 'a file is in the way',
  ENOTDIR: 'a file is in the way',
  ENOSPC: 'the disk is full',
}

async function ensureDirectory(
  path: string,
  { uid, gid }: Owner,
  mode: number,
  setting = 'CODERUNNER_DATA_DIR',
): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: mode & 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    const reason = obstacles[cause.code ?? ''] ?? cause.message
    throw new Error(`${path} cannot be made: ${reason}. Set ${setting} to a directory that can.`, { cause })
  })
  const found = await lstat(path)
  if (!found.isDirectory()) throw new Error(`${path} is in the way: a directory is needed there`)
  if (made === undefined && found.uid !== uid) {
    throw new Error(
      `${path} belongs to uid ${found.uid}, but has to belong to uid ${uid}: chown it, or set ${setting} to another one`,
    )
  }
  if (found.uid !== uid || found.gid !== gid) await chown(path, uid, gid)
  if ((found.mode & 0o7777) !== mode || found.gid !== gid) await chmod(path, mode)
}
