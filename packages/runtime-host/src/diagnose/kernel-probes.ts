/** What the kernel lets us do, tried and not guessed. Every probe takes away what it made. */
import { closeSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { idmappedMount, mountFileSystem, mountOverlay, unmount } from '../kernel/mount.ts'
import { openUserNamespace } from '../kernel/user-namespace.ts'

export function probeUserNamespace(): void {
  closeSync(openUserNamespace([{ inside: 0, outside: 1_000_000, size: 65536 }]))
}

/** On a tmpfs, so that it says what the kernel can do; the data directory's file system is another matter. */
export function probeOverlay(): void {
  inScratch(directory => {
    const target = join(directory, 'target')
    mountOverlay(target, {
      lower: [join(directory, 'lower')],
      upper: join(directory, 'upper'),
      work: join(directory, 'work'),
    })
    unmount(target)
  })
}

/** Mapped owners of an ordinary directory. */
export function probeIdmappedMount(): void {
  inScratch(directory => {
    const target = join(directory, 'target')
    writeFileSync(join(directory, 'lower/file'), '')
    const userNamespaceFd = openUserNamespace([{ inside: 0, outside: 1_000_000, size: 65536 }])
    try {
      idmappedMount(join(directory, 'lower'), target, { userNamespaceFd })
      const { uid } = statSync(join(target, 'file'))
      unmount(target)
      if (uid !== 1_000_000) throw new Error(`owner 0 became ${uid}`)
    } finally {
      closeSync(userNamespaceFd)
    }
  })
}

function inScratch(work: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'coderunner-probe-'))
  try {
    mountFileSystem(directory, { source: 'tmpfs', type: 'tmpfs', data: 'size=1m' })
    try {
      for (const name of ['lower', 'upper', 'work', 'target']) mkdirSync(join(directory, name))
      work(directory)
    } finally {
      unmount(directory)
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
