import { spawnSync } from 'node:child_process'
import { cp, lchown, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { packageRoot } from './postgres-binaries.ts'

/**
 * The package with PostgreSQL's programs, for tests that run them as another user. Where that user cannot reach it, as in
 * a clone below a private directory, it is copied to `copyDir` (60 MB) and becomes that user's; the caller removes it.
 */
export async function reachablePackage(identity: { uid?: number; gid?: number }, copyDir: string): Promise<string> {
  const root = packageRoot()
  const { uid, gid = uid } = identity
  if (uid === undefined || gid === undefined) return root
  const tried = spawnSync(join(root, 'native', 'bin', 'postgres'), ['--version'], { uid, gid, cwd: '/' })
  if (tried.status === 0) return root
  await cp(root, copyDir, { recursive: true, verbatimSymlinks: true })
  for (const name of ['.', ...(await readdir(copyDir, { recursive: true }))])
    await lchown(join(copyDir, name), uid, gid)
  return copyDir
}
