/** What npm, pnpm, Yarn and Bun say when an install fails, the most telling first. */
import { type FailureClass, following } from './failure-class.ts'

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

const peerConflict = (found: RegExpExecArray) => {
  const [there] = following(found, /Found: (\S+)/)
  const [name, range, by] = following(found, /peer (?:\w+ )?((?:@[^@\s]+\/)?[^@\s]+)@"([^"\n]+)" from (\S+)/)
  return there === undefined || by === undefined
    ? 'The dependencies contradict each other (peer dependencies): change the version of one of those named below in package.json.'
    : `${by} needs ${name} ${range}, and the project has ${there}: change the version of one of them in package.json, or put legacy-peer-deps=true into .npmrc.`
}

/** The compiler speaks before gyp does. */
const notCompiled = ({ input }: RegExpExecArray) => {
  const said = { input, index: 0 }
  const [folder] = following(said, /npm (?:error|ERR!) path \/app\/(?:\S*node_modules\/)?(\S+)/)
  const what = folder ?? 'A dependency'
  const [header] = following(said, /fatal error: (\S+\.h\w*): No such file or directory/)
  if (header !== undefined)
    return `${what} has to be compiled and lacks the header ${header}, which builders do not have: take a version of it with binaries for Linux.`
  const [line] = following(
    said,
    /^(?:npm (?:error|ERR!) )?(?:\.\.\/)*([^\s:]+:\d+:\d+: (?:fatal )?error: [^\n]{1,200})/m,
  )
  const [why] = following(said, /gyp ERR! stack Error: ([^\n]{1,200})/)
  const cause =
    line !== undefined ? `the compiler refused it (${line})` : `that failed${why === undefined ? '' : ` (${why})`}`
  return `${what} has to be compiled, and ${cause}: mend it, or take a version that fits this version of Node or has binaries for Linux.`
}

export const installFailures: readonly FailureClass[] = [
  { pattern: /npm (?:error|ERR!) code ERESOLVE|ERR_PNPM_PEER_DEP_ISSUES/, explain: peerConflict },
  {
    pattern: /npm (?:error|ERR!) code (?:E401|E403|ENEEDAUTH)/,
    explain: found => {
      const [status, url] = following(found, /\b(40[13]) [^\n]{1,50} - [A-Z]+ (https?:\/\/\S+)/)
      return refused(url, status)
    },
  },
  {
    pattern: /ERR_PNPM_FETCH_(40[13])[^\n]*?GET (https?:\/\/[^\s:]+(?::\d+)?[^\s:]*)/,
    explain: ([, status, url]) => refused(url, status),
  },
  { pattern: /error: GET (https?:\/\/\S+) - (40[13])/, explain: ([, url, status]) => refused(url, status) },
  {
    // Yarn 1 gives the registry's own words where there are any.
    pattern:
      /error (?:Error: |An unexpected error occurred: ")(https?:\/\/[^\s:]+(?::\d+)?[^\s:]*): (?!connect |getaddrinfo |read |tunneling )(?:Request failed \\?")?([^\n"\\]{1,100})/,
    explain: ([, url, answer]) => refused(url, answer),
  },
  {
    pattern: /YN0041/,
    explain: () =>
      'The registry refused access: a private package needs a token. Set npmAuthToken in .yarnrc.yml to a variable such as NPM_TOKEN, and set that.',
  },
  {
    pattern: /'((?:@[\w.-]+\/)?[\w.-]+@[^\s']+)' (?:is not in this registry|could not be found)/,
    explain: ([, what]) => unknown(what),
  },
  {
    pattern: /ERR_PNPM_FETCH_404[^\n]*?GET https?:\/\/[^\s/]+\/([^\s:]+)|Couldn't find package "([^"\n]+)"/,
    explain: ([, one, other]) => unknown(one ?? other),
  },
  {
    pattern: /No matching version found for (\S+?)\.?(?:\s|$)/,
    explain: ([, range]) => `The registry has no version of it that fits ${range}: name another in package.json.`,
  },
  {
    pattern: /npm (?:error|ERR!) code (?:ETARGET|E404)/,
    explain: () =>
      'A dependency is not in the registry in the version asked for: change it in package.json, or look for a private package.',
  },
  {
    pattern: new RegExp(`npm (?:error|ERR!) code (${networkCodes})`),
    explain: found => unreachable(found[1], following(found, /request to (https?:\/\/\S+) failed/)[0]),
  },
  {
    pattern: new RegExp(`(?:ERR_PNPM_META_FETCH_FAIL|An unexpected error occurred|YN0001)[^\\n]*?\\b(${networkCodes})`),
    explain: found => unreachable(found[1], following(found, /(https?:\/\/[^\s"]+)/)[0]),
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
  { pattern: /gyp ERR!/, explain: notCompiled },
]

function decoded(name: string): string {
  return name.replace(/%2f/gi, '/')
}

function originOf(url: string): string {
  return /^https?:\/\/[^/\s]+/.exec(url)?.[0] ?? url
}
