/**
 * What a repository is named by, checked before git sees any of it: only what can be nothing but an https URL, a ref and
 * a folder goes on. Credentials are never part of a URL here: URLs are shown and logged.
 */
import { AppError, type api } from '@coderunner/contract'
import { normalPath, pathProblem } from './source-tree.ts'

export interface GitLocation {
  /** Without credentials, query and fragment. */
  url: string
  /** `HEAD` where none was asked for. */
  ref: string
  directory?: string
}

// `git@github.com:owner/repository.git`, as code hosts show it. A second colon or slash would be a path on this machine.
const scpForm = /^(?:[\w.-]+@)?([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):(?!\/|\d+\/)([\w.~-][\w./~+-]*)$/
const schemeForm = /^[a-z][a-z0-9+.-]*:\/\//i

/**
 * Checks a repository's name, throwing `invalid_request`. ssh forms become https: without a key of the user's there is
 * nothing that ssh could reach and https could not. `httpHosts` may be reached by plain http.
 */
export function gitLocation(git: api.GitSource, httpHosts: readonly string[] = []): GitLocation {
  const { ref = 'HEAD', directory } = git
  if (!isRef(ref)) throw invalid('ref', `“${ref.slice(0, 80)}” is not the name of a branch or tag, and no commit id.`)
  const path = directory === undefined ? '' : normalPath(directory)
  const problem = path === '' ? undefined : pathProblem(path)
  if (problem !== undefined) throw invalid('directory', `The folder ${problem}.`)
  return { url: repositoryUrl(git.url.trim(), httpHosts), ref, ...(path !== '' && { directory: path }) }
}

function repositoryUrl(text: string, httpHosts: readonly string[]): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u0020\u007f\\]/.test(text)) throw notAUrl()
  const scp = schemeForm.test(text) ? null : scpForm.exec(text)
  const full = scp === null ? text : `https://${scp[1]}/${scp[2]}`
  // `ext::sh -c …` and local paths have no scheme with slashes; `file://` and `git://` are told below.
  if (!schemeForm.test(full) || !URL.canParse(full)) throw notAUrl()
  const url = new URL(full)
  if (url.protocol === 'ssh:' && (url.port === '' || url.port === '22')) return repositoryUrl(httpsForm(url), httpHosts)
  if (url.protocol === 'ssh:') throw invalid('url', 'ssh on a port of its own cannot be reached: give the https URL.')
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && httpHosts.includes(url.host)))
    throw invalid('url', `Repositories are fetched by https, not by ${url.protocol.slice(0, -1)}.`)
  if (url.username !== '' || url.password !== '')
    throw invalid('url', 'The URL holds a user name or password: send a token as “token” (CODERUNNER_GIT_TOKEN).')
  if (!/^[a-z0-9[]/.test(url.hostname) || url.pathname.length < 2) throw notAUrl()
  return `${url.origin}${url.pathname}`
}

function httpsForm(url: URL): string {
  if (url.password !== '') throw invalid('url', 'The URL holds a password.')
  return `https://${url.hostname}${url.pathname}`
}

/** The rules of git-check-ref-format, and nothing that could be taken for an option or for two refs. */
function isRef(ref: string): boolean {
  return /^[\w][\w./@+#=-]*$/u.test(ref) && !/\.\.|\/\/|@\{|\/\.|\.lock(\/|$)|[./]$/.test(ref) && ref !== '@'
}

function notAUrl(): AppError {
  return invalid('url', 'This is not the URL of a repository: give one such as https://github.com/owner/repository.')
}

function invalid(field: string, message: string): AppError {
  return new AppError('invalid_request', message, { details: [{ path: `/git/${field}`, message }] })
}

/** `user:token`, or a token alone, which code hosts take with any user name. */
export function gitCredentials(token: string): { user: string; password: string } {
  const [user, ...rest] = token.split(':')
  return rest.length === 0 || user === undefined
    ? { user: 'x-access-token', password: token }
    : { user, password: rest.join(':') }
}
