/** What pip and Python say when a build fails, the most telling first. */
import { sandboxPython } from '../analysis/python-version.ts'

export const pythonFailures: readonly { pattern: RegExp; explain: (found: RegExpExecArray) => string }[] = [
  {
    pattern: /WARNING: Retrying \(Retry\([^\n]*?connection broken by[^\n]*?(\w+Error)/,
    explain: ([, error]) =>
      `The package index could not be reached (${error}): check the network of the host, and PIP_INDEX_URL where it is set.`,
  },
  {
    pattern: /ERROR: (?:HTTP error (401|403)|.*?\b(401|403) Client Error)/,
    explain: ([, one, other]) =>
      `The package index refused access (${one ?? other}): a private one needs its user and token in PIP_INDEX_URL.`,
  },
  {
    pattern: /requires a different Python: \S+ not in '([^']+)'/,
    explain: ([, range]) => `It asks for Python ${range}, and sandboxes have Python ${sandboxPython}.`,
  },
  {
    pattern: /Could not find a version that satisfies the requirement (\S+)[^\n]*\(from versions: none\)/,
    explain: ([, name]) =>
      `The package index has no ${name} for Python ${sandboxPython}: look for a typing mistake, or for a private index.`,
  },
  {
    pattern: /Could not find a version that satisfies the requirement (\S+)[^\n]*\(from versions: ([^)\n]{0,300})/,
    explain: ([, name, versions = '']) =>
      `The package index has no ${name} for Python ${sandboxPython}; the newest there is ${versions.split(', ').at(-1)}.`,
  },
  {
    pattern: /THESE PACKAGES DO NOT MATCH THE HASHES/,
    explain: () => 'A package is not the one that the lock file names: lock again, or look for who changed it.',
  },
  {
    pattern: /In --require-hashes mode|Hashes are required in --require-hashes mode/,
    explain: () => 'The lock file has hashes of some packages only: lock again.',
  },
  {
    pattern: /ResolutionImpossible|Cannot install .* because these package versions have conflicting dependencies/,
    explain: () => 'The dependencies contradict each other: see below which.',
  },
  {
    pattern: /Invalid requirement: ['"]?([^\n'"]{1,100})/,
    explain: ([, line]) => `“${line}” is no requirement that pip understands.`,
  },
  {
    pattern: /(?:Failed building wheel for|Could not build wheels for|Failed to build) ([\w.-]+)/,
    explain: ([, name]) =>
      `${name} has to be compiled, as the index has no wheel of it for Python ${sandboxPython}, and that failed: see above which header or library it lacks, or ask for a version that has one.`,
  },
  {
    pattern: /ModuleNotFoundError: No module named '([\w.]+)'/,
    explain: ([, module]) => `Python finds no module “${module}”: is it among the dependencies?`,
  },
]
