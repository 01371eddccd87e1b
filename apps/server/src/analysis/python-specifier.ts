/** Version specifiers of PEP 440, with the carets and wildcards that Poetry and Pipenv write besides. Pure. */

/** Release numbers, then -1 for a pre-release, 0 for a release, 1 for a post-release. */
interface Parsed {
  release: number[]
  phase: number
}

const versionPattern =
  /^v?(?:\d+!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview|dev)[-_.]?\d*)?(?:[-_.]?(post|rev|r)[-_.]?\d*)?(?:[-_.]?dev\d*)?(?:\+[\w.-]+)?$/i
const clausePattern = /^(===|==|~=|!=|<=|>=|<|>|\^|~|=)?\s*(\S+)$/

/** Undefined when it is no version. */
function parse(text: string): Parsed | undefined {
  const match = versionPattern.exec(text)
  if (match?.[1] === undefined) return undefined
  const phase = match[2] !== undefined ? -1 : match[3] !== undefined ? 1 : 0
  return { release: match[1].split('.').map(Number), phase }
}

/** Negative, zero or positive; undefined when one of them is no version. */
export function compareVersions(a: string, b: string): number | undefined {
  const [left, right] = [parse(a), parse(b)]
  if (left === undefined || right === undefined) return undefined
  return compareReleases(left.release, right.release) || left.phase - right.phase
}

function compareReleases(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/**
 * Whether a version is among those that `>=3.9,<4`, `^3.9`, `3.11.*`, `3.9 || ~3.11` and the like ask for. Undefined when
 * the specifier does not parse.
 */
export function satisfies(version: string, specifier: string): boolean | undefined {
  const alternatives = specifier.split('||').map(part => part.trim())
  const results = alternatives.map(part => satisfiesAll(version, part))
  if (results.includes(undefined)) return undefined
  return results.includes(true)
}

function satisfiesAll(version: string, specifier: string): boolean | undefined {
  if (specifier === '' || specifier === '*') return true
  let all = true
  // Poetry takes a blank between clauses for a comma.
  const clauses = specifier.replaceAll(/([<>=!~^])\s+/g, '$1').split(/[\s,]+/)
  for (const clause of clauses.filter(Boolean)) {
    const result = satisfiesOne(version, clause)
    if (result === undefined) return undefined
    all &&= result
  }
  return all
}

function satisfiesOne(version: string, clause: string): boolean | undefined {
  const match = clausePattern.exec(clause)
  const operator = match?.[1] ?? '=='
  const wanted = match?.[2] ?? ''
  if (wanted === '*') return operator === '=='
  if (wanted.endsWith('.*')) {
    const same = hasPrefix(version, wanted.slice(0, -2))
    return same === undefined ? undefined : operator === '!=' ? !same : same
  }
  const order = compareVersions(version, wanted)
  if (order === undefined) return undefined
  switch (operator) {
    case '<':
      return order < 0
    case '<=':
      return order <= 0
    case '>':
      return order > 0
    case '>=':
      return order >= 0
    case '!=':
      return order !== 0
    case '^':
      return order >= 0 && hasPrefix(version, caretPrefix(wanted))
    case '~':
      return order >= 0 && hasPrefix(version, wanted.split('.').slice(0, 2).join('.'))
    case '~=':
      return order >= 0 && hasPrefix(version, wanted.split('.').slice(0, -1).join('.'))
    default:
      return order === 0
  }
}

function hasPrefix(version: string, prefix: string): boolean | undefined {
  const [left, right] = [parse(version), parse(prefix)]
  if (left === undefined || right === undefined) return undefined
  return right.release.every((part, index) => (left.release[index] ?? 0) === part)
}

/** What must not change: everything up to the first number that is not zero. */
function caretPrefix(version: string): string {
  const parts = version.split('.')
  const first = parts.findIndex(part => Number.parseInt(part, 10) !== 0)
  return parts.slice(0, first === -1 ? parts.length : first + 1).join('.')
}

/** A constraint as Poetry writes it in the words pip knows: `^1.2` becomes `>=1.2,<2`. */
export function toPep440(constraint: string): string {
  return constraint
    .trim()
    .replaceAll(/([<>=!~^])\s+/g, '$1')
    .split(/[\s,]+/)
    .flatMap(clause => {
      const match = /^([\^~])(\d+(?:\.\d+)*\S*)$/.exec(clause)
      if (match?.[2] === undefined)
        return clause === '*' || clause === '' ? [] : [/^\d/.test(clause) ? `==${clause}` : clause]
      const [, operator, version] = match
      const kept = operator === '^' ? caretPrefix(version) : version.split('.').slice(0, 2).join('.')
      const parts = kept.split('.').map(part => Number.parseInt(part, 10))
      parts[parts.length - 1] = (parts.at(-1) ?? 0) + 1
      return [`>=${version}`, `<${parts.join('.')}`]
    })
    .join(',')
}
