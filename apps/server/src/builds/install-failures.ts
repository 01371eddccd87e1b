/** What npm, pnpm, Yarn and Bun say when an install fails, the most telling first. */
import type { FailureClass } from './failure-class.ts'

const refused = (url: string | undefined, status: string | undefined) => {
  const [, host = 'HOST', path = ''] = /^https?:\/\/([^/\s]+)\/?(\S*)/.exec(url ?? '') ?? []
  const what = url === undefined ? 'access' : `${decoded(path)} at ${host}`
  return `The registry refused ${what}${status === undefined ? '' : ` (${status})`}: a private package needs a token. Put //${host}/:_authToken=\${NPM_TOKEN} into .npmrc, and set the variable NPM_TOKEN.`
}

const unknown = (what: string | undefined) =>
  `The registry has no ${decoded(what ?? 'such package')}: look for a typing mistake in package.json; a private package needs its registry and token in .npmrc.`

const unreachable = (code: string | undefined, where: string | undefined) =>
  `The package registry${where === undefined ? '' : ` ${originOf(where)}`} could not be reached (${code}): ${
    where !== undefined && /^https?:\/\/(?:127\.|localhost|\[::1\])/.test(where)
      ? 'that address is the sandbox itself; name a registry that others reach in .npmrc.'
      : 'check the registry in .npmrc, and the network of the host.'
  }`

const networkCodes = 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH'

export const installFailures: readonly FailureClass[] = [
  {
    pattern:
      /npm (?:error|ERR!) code ERESOLVE[\s\S]*?Found: (\S+)[\s\S]*?peer (?:\w+ )?((?:@[^@\s]+\/)?[^@\s]+)@"([^"]+)" from (\S+)/,
    explain: ([, found, name, range, by]) =>
      `${by} needs ${name} ${range}, and the project has ${found}: change the version of one of them in package.json, or put legacy-peer-deps=true into .npmrc.`,
  },
  {
    pattern: /npm (?:error|ERR!) code ERESOLVE|ERR_PNPM_PEER_DEP_ISSUES/,
    explain: () =>
      'The dependencies contradict each other (peer dependencies): change the version of one of those named below in package.json.',
  },
  {
    pattern: /npm (?:error|ERR!) code (?:E401|E403|ENEEDAUTH)(?:[\s\S]*?\b(40[13]) [^\n]*?(?:GET )?(https?:\/\/\S+))?/,
    explain: ([, status, url]) => refused(url, status),
  },
  {
    pattern: /ERR_PNPM_FETCH_(40[13])[^\n]*?GET (https?:\/\/[^\s:]+(?::\d+)?[^\s:]*)/,
    explain: ([, status, url]) => refused(url, status),
  },
  {
    pattern: /(https?:\/\/[^\s"\\]+): Request failed \\?"(40[13])|error: GET (https?:\/\/\S+) - (40[13])/,
    explain: ([, url, status, bunUrl, bunStatus]) => refused(url ?? bunUrl, status ?? bunStatus),
  },
  {
    pattern: /YN0041/,
    explain: () =>
      'The registry refused access: a private package needs a token. Put npmAuthToken: "${NPM_TOKEN}" into .yarnrc.yml, and set the variable NPM_TOKEN.',
  },
  {
    pattern:
      /npm (?:error|ERR!) (?:code E404|404)[\s\S]*?'((?:@[\w.-]+\/)?[\w.-]+@[^\s']+)' (?:is not in this registry|could not be found)/,
    explain: ([, what]) => unknown(what),
  },
  {
    pattern: /ERR_PNPM_FETCH_404[^\n]*?GET https?:\/\/[^\s/]+\/([^\s:]+)|Couldn't find package "([^"\n]+)"/,
    explain: ([, one, other]) => unknown(one ?? other),
  },
  {
    pattern:
      /npm (?:error|ERR!) code ETARGET[\s\S]*?No matching version found for (\S+?)\.?(?:\n|$)|ERR_PNPM_NO_MATCHING_VERSION\S* +No matching version found for (\S+)/,
    explain: ([, one, other]) =>
      `The registry has no version of it that fits ${one ?? other}: name another in package.json.`,
  },
  {
    pattern: /npm (?:error|ERR!) code (?:ETARGET|E404)/,
    explain: () =>
      'A dependency is not in the registry in the version asked for: change it in package.json, or look for a private package.',
  },
  {
    pattern: new RegExp(
      `npm (?:error|ERR!) code (${networkCodes})(?:[\\s\\S]*?request to (https?:\\/\\/\\S+) failed)?`,
    ),
    explain: ([, code, url]) => unreachable(code, url),
  },
  {
    pattern: new RegExp(
      `(?:ERR_PNPM_META_FETCH_FAIL|An unexpected error occurred|YN0001)[^\\n]*?(https?:\\/\\/[^\\s"]+)?[^\\n]*?\\b(${networkCodes})`,
    ),
    explain: ([, url, code]) => unreachable(code, url),
  },
  {
    pattern: /npm (?:error|ERR!) code (?:EBADENGINE|EBADPLATFORM)/,
    explain: () =>
      'A dependency does not run on this version of Node or on Linux: see below which, and change it or engines.node in package.json.',
  },
  {
    pattern: /npm (?:error|ERR!) code EINTEGRITY/,
    explain: () => 'A package is not the one that the lock file names: delete the lock file and lock again.',
  },
  {
    pattern: /npm (?:error|ERR!) code EUSAGE/,
    explain: () => 'The lock file does not fit package.json: run npm install and deploy the changed lock file.',
  },
  {
    pattern: /fatal error: (\S+\.h\w*): No such file or directory[\s\S]*gyp ERR!/,
    explain: ([, header]) =>
      `A dependency has to be compiled and lacks the header ${header}, which builders do not have: take a version of it with binaries for Linux.`,
  },
  {
    pattern:
      /(?:^|\n)(?:npm (?:error|ERR!) )?(?:\.\.\/)*([^\s:]+:\d+:\d+: (?:fatal )?error: [^\n]{1,200})[\s\S]*gyp ERR!/,
    explain: ([, line]) =>
      `A dependency has to be compiled, and the compiler refused it (${line}): take a version of it that fits this version of Node, or has binaries for Linux.`,
  },
  {
    pattern: /gyp ERR! stack Error: ([^\n]{1,200})|gyp ERR!/,
    explain: ([, why]) =>
      `A dependency has to be compiled, and that failed${why === undefined ? '' : ` (${why})`}: take a version of it that fits this version of Node, or has binaries for Linux.`,
  },
]

function decoded(name: string): string {
  return name.replace(/%2f/gi, '/')
}

function originOf(url: string): string {
  return /^https?:\/\/[^/\s]+/.exec(url)?.[0] ?? url
}
