/**
 * One commit of a repository, fetched inside a builder: git is told the URL by argument after `--`, everything else by its
 * environment, and nothing by a file of the repository. The token is in the environment of two commands and nowhere else.
 */
import type { Readable } from 'node:stream'
import { AppError } from '@coderunner/contract'
import { type GitLocation, gitCredentials } from './git-source.ts'

export interface GitRunner {
  /** The command's last lines when it failed. */
  attempt(command: {
    argv: readonly string[]
    env: Readonly<Record<string, string>>
    label: string
  }): Promise<{ lines: readonly string[]; outOfMemory?: boolean } | undefined>
  pack(): Promise<Readable>
}

/** In the application directory: the tree of the commit, without git's own files. */
export async function fetchCommit(git: GitRunner, location: GitLocation, token: string | undefined): Promise<Readable> {
  const { url, ref } = location
  const own = gitEnvironment(url)
  const run = async (argv: readonly string[], env: Record<string, string>) => {
    const label = ['git', ...argv.filter(argument => !argument.startsWith('-'))].join(' ')
    const failed = await git.attempt({ argv: ['git', ...argv], env, label })
    if (failed !== undefined) throw fetchFailure(failed, location, token !== undefined)
  }
  await run(['init', '--quiet'], own)
  const credentials = token === undefined ? {} : credentialEnvironment(url, token, own)
  await run(['fetch', '--quiet', '--depth=1', '--no-tags', '--no-recurse-submodules', '--end-of-options', url, ref], {
    ...own,
    ...credentials,
  })
  await run(['checkout', '--quiet', '--force', '--detach', 'FETCH_HEAD'], own)
  return git.pack()
}

/** Settings of git that no configuration file can change. */
function gitEnvironment(url: string): Record<string, string> {
  return {
    GIT_DIR: '/tmp/coderunner-fetch.git',
    GIT_WORK_TREE: '/app',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '/bin/false',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_LFS_SKIP_SMUDGE: '1',
    ...configuration([
      ['protocol.allow', 'never'],
      [`protocol.${new URL(url).protocol.slice(0, -1)}.allow`, 'always'],
      ['submodule.recurse', 'false'],
      ['core.hooksPath', '/dev/null'],
      ['core.fsmonitor', 'false'],
      ['http.lowSpeedLimit', '1000'],
      ['http.lowSpeedTime', '30'],
      ['advice.detachedHead', 'false'],
      ['init.defaultBranch', 'main'],
    ]),
  }
}

/** For this origin alone: a redirect elsewhere gets no token. */
function credentialEnvironment(url: string, token: string, own: Record<string, string>): Record<string, string> {
  const { user, password } = gitCredentials(token)
  const helper = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$CR_GIT_USER" "$CR_GIT_TOKEN"; }; f'
  const count = Number(own['GIT_CONFIG_COUNT'])
  return {
    ...configuration([[`credential.${new URL(url).origin}.helper`, helper]], count),
    CR_GIT_USER: user,
    CR_GIT_TOKEN: password,
  }
}

function configuration(entries: readonly (readonly [string, string])[], from = 0): Record<string, string> {
  return {
    GIT_CONFIG_COUNT: String(from + entries.length),
    ...Object.fromEntries(
      entries.flatMap(([key, value], at) => [
        [`GIT_CONFIG_KEY_${from + at}`, key],
        [`GIT_CONFIG_VALUE_${from + at}`, value],
      ]),
    ),
  }
}

function fetchFailure(
  { lines, outOfMemory }: { lines: readonly string[]; outOfMemory?: boolean },
  { url, ref }: GitLocation,
  hasToken: boolean,
): AppError {
  const said = lines.join('\n')
  const asked = ref === 'HEAD' ? '' : ` (${ref})`
  const failed = (message: string) => new AppError('fetch_failed', message)
  if (/Authentication failed|could not read Username|could not read Password|403/.test(said))
    return failed(
      hasToken
        ? `The token was refused for ${url}: does it allow reading this repository?`
        : `${url} is private, or is not there: for a private repository send a token (CODERUNNER_GIT_TOKEN).`,
    )
  if (/[Rr]epository .*not found|\bnot found\b|returned error: 404/.test(said))
    return failed(`There is no repository at ${url}, or the token does not allow to see it.`)
  if (/couldn't find remote ref|not our ref|unadvertised object|no such remote ref/.test(said))
    return failed(`${url} has no branch, tag or commit${asked === '' ? ' to begin with' : asked}.`)
  if (
    /Could not resolve host|Failed to connect|Connection (refused|timed out)|Couldn't connect|Operation too slow|unable to access/.test(
      said,
    )
  )
    return failed(`${url} cannot be reached from a sandbox.\n${lastLine(lines)}`)
  if (/No space left/.test(said)) return failed(`${url} is larger than the disk of a builder.`)
  if (outOfMemory === true) return failed(`${url} took more memory to fetch than a builder has.`)
  return failed(`${url}${asked} could not be fetched.\n${lastLine(lines)}`)
}

function lastLine(lines: readonly string[]): string {
  return lines.findLast(line => line.trim() !== '')?.slice(0, 500) ?? ''
}
