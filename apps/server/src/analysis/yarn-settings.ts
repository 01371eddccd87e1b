import { isBerry, type Manager } from './package-manager-commands.ts'
import type { ProjectFiles } from './project-files.ts'

/**
 * Whether Yarn installs into archives that only it can read. Where the project does not insist, packages go to
 * `node_modules`, where Node finds them by itself.
 */
export async function usesPlugAndPlay(files: Pick<ProjectFiles, 'has' | 'read'>, manager: Manager): Promise<boolean> {
  if (!isBerry(manager)) return false
  const linker = await yarnLinker(files)
  return linker === undefined ? files.has('.pnp.cjs') : linker === 'pnp'
}

export async function yarnLinker(files: Pick<ProjectFiles, 'read'>): Promise<string | undefined> {
  return /^nodeLinker:\s*['"]?([\w-]+)/m.exec((await files.read('.yarnrc.yml')) ?? '')?.[1]
}
