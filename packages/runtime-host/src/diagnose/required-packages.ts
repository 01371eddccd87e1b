import { findProgram } from '../kernel/system-programs.ts'

/** Programs that the provider runs, the Debian package that brings each, and what it does here. */
export const requiredPrograms = [
  { program: 'conmon', debianPackage: 'conmon', purpose: 'keeps a sandbox and its output when this program restarts' },
  { program: 'runc', debianPackage: 'runc', purpose: 'makes containers', alternative: 'crun' },
  { program: 'nft', debianPackage: 'nftables', purpose: 'says who reaches whom' },
  { program: 'ip', debianPackage: 'iproute2', purpose: 'shows the routes of this machine' },
  { program: 'mkfs.ext4', debianPackage: 'e2fsprogs', purpose: 'makes the disks of sandboxes' },
  { program: 'mmdebstrap', debianPackage: 'mmdebstrap', purpose: 'builds the base image' },
  { program: 'unshare', debianPackage: 'util-linux', purpose: 'makes user namespaces' },
] as const satisfies readonly { program: string; debianPackage: string; purpose: string; alternative?: string }[]

/** Debian packages to install before sandboxes can run, in one `apt-get install`. Empty when nothing is missing. */
export async function missingPackages(): Promise<string[]> {
  const missing = await Promise.all(
    requiredPrograms.map(async entry => {
      const names = 'alternative' in entry ? [entry.program, entry.alternative] : [entry.program]
      const found = await Promise.all(names.map(async name => findProgram(name)))
      return found.some(path => path !== undefined) ? [] : [entry.debianPackage]
    }),
  )
  return missing.flat()
}

export const installCommand = (packages: readonly string[]): string =>
  `apt-get install -y --no-install-recommends ${packages.join(' ')}`
