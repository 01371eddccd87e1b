import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildFailure } from './build-failure.ts'

/** As pip 23 prints them. */
for (const [what, line, expected] of [
  [
    'a name that is not there',
    'ERROR: Could not find a version that satisfies the requirement flaks==3 (from versions: none)\nERROR: No matching distribution found for flaks==3',
    /The package index has no flaks==3 for Python 3\.11/,
  ],
  [
    'a version that is not there',
    'ERROR: Could not find a version that satisfies the requirement flask==9 (from versions: 2.0, 3.1.0)',
    /no flask==9 .* the newest there is 3\.1\.0/,
  ],
  [
    'an index that is away',
    "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError('<pip>: Failed')'\nERROR: Could not find a version that satisfies the requirement flask (from versions: none)",
    /could not be reached \(NewConnectionError\)/,
  ],
  [
    'a changed package',
    'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.',
    /not the one that the lock file names/,
  ],
  [
    'a conflict',
    'ERROR: Cannot install a and b because these package versions have conflicting dependencies.\nERROR: ResolutionImpossible: for help visit',
    /contradict each other/,
  ],
  [
    'a line that is no requirement',
    "ERROR: Invalid requirement: 'flask=3' (from line 1 of requirements.txt)",
    /“flask=3”/,
  ],
  ['a failed compilation', '  ERROR: Failed building wheel for lxml', /lxml has to be compiled/],
  [
    'another Python',
    "ERROR: Package 'x' requires a different Python: 3.11.2 not in '>=3.12'",
    /asks for Python >=3\.12/,
  ],
  ['a missing module', "ModuleNotFoundError: No module named 'environ'", /no module “environ”/],
] as const)
  test(what, () => {
    const failure = buildFailure({ command: 'pip install', exitCode: 1, lines: line.split('\n') })
    assert.match(failure.message, expected)
  })
