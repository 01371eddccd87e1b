import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openUserNamespace } from '@coderunner/runtime-host/kernel/user-namespace'
import type { LaunchOrder } from './launch.ts'
import type { Account } from './private-root.ts'

export interface Launch {
  account: Account
  command: string
  args: readonly string[]
  env: Readonly<Record<string, string>>
  stdio: StdioOptions
  /** Number of descriptors from 3 on, in `stdio`, that the child is to keep. */
  keptFds?: number
  data: readonly string[]
  sockets: readonly string[]
  /** Files to read besides the code. */
  files?: readonly string[]
}

/** What children need of the repository. The rest (`.env`, `.git`, the owner's own files) is not shown to them. */
const codeEntries = ['package.json', 'node_modules', 'packages', 'apps']

/**
 * A package's own `node_modules` is named apart: `sudo npm install` in somebody's clone leaves it to root, and an owner
 * is mapped for each.
 */
function codeOf(repository: string): string[] {
  const nested = ['packages', 'apps'].flatMap(name => {
    const parent = join(repository, name)
    return existsSync(parent) ? readdirSync(parent).map(child => join(parent, child, 'node_modules')) : []
  })
  return [...codeEntries.map(name => join(repository, name)), ...nested].filter(path => existsSync(path))
}

/** Starts children as users of their own in private roots, from root. */
export class Launcher implements Disposable {
  readonly #repository: string
  readonly #staging: string
  readonly #hidden: string
  readonly #userNamespaces = new Map<string, number>()

  /**
   * @param options.runDir of the instance; root's alone to write
   * @param options.dataDir of the instance, of which a child sees only what it is given
   */
  constructor({ repository, runDir, dataDir }: { repository: string; runDir: string; dataDir: string }) {
    this.#repository = repository
    this.#staging = join(runDir, 'root')
    this.#hidden = dataDir
    mkdirSync(this.#staging, { recursive: true, mode: 0o700 })
  }

  /** The child leads a session of its own: a terminal's Ctrl-C reaches us alone, who end the children in order. */
  spawn({ account, command, args, env, stdio, keptFds = 0, data, sockets, files = [] }: Launch): ChildProcess {
    const slots: StdioOptions = typeof stdio === 'string' ? [stdio, stdio, stdio] : [...stdio]
    const code = [...codeOf(this.#repository), ...files].map(path => ({
      path,
      userNamespaceFd: slots.push(this.#userNamespace(statSync(path).uid, account.uid)) - 1,
    }))
    const order: LaunchOrder = {
      root: { staging: this.#staging, account, code, data, sockets, hidden: this.#hidden },
      command,
      args,
      keptFds: Array.from({ length: keptFds }, (_, index) => index + 3),
    }
    const launch = join(import.meta.dirname, 'launch.ts')
    return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', launch, JSON.stringify(order)], {
      env,
      stdio: slots,
      cwd: '/',
      detached: true,
    })
  }

  #userNamespace(owner: number, uid: number): number {
    const key = `${owner} ${uid}`
    const known = this.#userNamespaces.get(key)
    if (known !== undefined) return known
    const fd = openUserNamespace([{ inside: owner, outside: uid, size: 1 }])
    this.#userNamespaces.set(key, fd)
    return fd
  }

  [Symbol.dispose](): void {
    for (const fd of this.#userNamespaces.values()) closeSync(fd)
    this.#userNamespaces.clear()
  }
}
