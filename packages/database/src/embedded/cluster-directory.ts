import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, chown, lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type PostgresBinaries, postgresMajor } from './postgres-binaries.ts'

/** The user of the database's processes; absent when it is our own. */
export interface Owner {
  uid: number
  gid: number
}

export interface Cluster {
  clusterDir: string
  password: string
}

export const superuser = 'coderunner'

/**
 * `<dataDir>/18/` holds `cluster/`, the database's own, and `password`. Everything above `cluster/` is ours, so that no
 * process of the database can put a symbolic link where we write. It is made under another name and renamed when it is
 * complete: a crash leaves a directory that the next start removes.
 */
export async function ensureCluster(options: {
  dataDir: string
  owner: Owner | undefined
  binaries: PostgresBinaries
  spawn: (command: string, args: readonly string[]) => ChildProcess
}): Promise<Cluster> {
  const { dataDir, owner } = options
  const complete = join(dataDir, String(postgresMajor))
  for (const name of await readdir(dataDir)) {
    if (name.startsWith('init-')) await rm(join(dataDir, name), { recursive: true, force: true })
  }
  const existing = await lstat(join(complete, 'cluster')).catch(() => undefined)
  if (existing === undefined) {
    const unfinished = join(dataDir, `init-${randomBytes(6).toString('hex')}`)
    await initialise(unfinished, options)
    await rename(unfinished, complete)
    await syncDirectory(dataDir)
  } else if (existing.uid !== (owner?.uid ?? process.getuid?.())) {
    throw new Error(`${join(complete, 'cluster')} belongs to uid ${existing.uid}, not to the database's user`)
  }
  const password = (await readFile(join(complete, 'password'), 'utf8')).trim()
  if (!/^[\w-]{20,100}$/.test(password)) throw new Error(`${join(complete, 'password')} holds no password`)
  return { clusterDir: join(complete, 'cluster'), password }
}

async function initialise(
  directory: string,
  { owner, binaries, spawn }: Parameters<typeof ensureCluster>[0],
): Promise<void> {
  const clusterDir = join(directory, 'cluster')
  const passwordFile = join(directory, 'password')
  await mkdir(directory)
  await chmod(directory, owner === undefined ? 0o700 : 0o711)
  await mkdir(clusterDir, { mode: 0o700 })
  const file = await open(passwordFile, 'wx', 0o600)
  await file.writeFile(`${randomBytes(24).toString('base64url')}\n`)
  if (owner !== undefined) {
    await file.chown(owner.uid, owner.gid)
    await chown(clusterDir, owner.uid, owner.gid)
  }
  await file.sync()
  await file.close()
  const args = [
    `--pgdata=${clusterDir}`,
    `--username=${superuser}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--no-instructions',
    '--encoding=UTF8',
    '--locale=C',
    // A collation of PostgreSQL's own: it neither needs a locale of the machine nor changes with its C library.
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
  ]
  const child = spawn(binaries.initdb, args)
  const ended = Promise.withResolvers<number | null>()
  child.once('error', ended.reject).once('close', ended.resolve)
  const [output, code] = await Promise.all([child.stderr === null ? '' : text(child.stderr), ended.promise])
  if (code !== 0) {
    await rm(directory, { recursive: true, force: true })
    throw new Error(`initdb failed: ${output.trim().slice(-2000) || `exit code ${code}`}`)
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path)
  await directory.sync()
  await directory.close()
}
