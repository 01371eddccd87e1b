/**
 * A project's name is a DNS label: it becomes `<name>.<apps domain>`. 40 characters at most leave room for
 * `<slug>--<name>` within the 63 of a label; `--` is refused because it separates the two.
 */
export const projectNamePattern = '^(?!.*--)[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$'

const reserved = new Set(
  'admin api app apps assets auth cdn coderunner console dashboard docs ftp health internal login localhost mail metrics ns ns1 ns2 root server smtp static status support system www'.split(
    ' ',
  ),
)

/** Says what is wrong with a project name in one sentence, or nothing when it is good. */
export function projectNameProblem(name: string): string | undefined {
  if (!new RegExp(projectNamePattern).test(name))
    return `“${name.slice(0, 60)}” is not a project name: use 1 to 40 of a-z, 0-9 and single dashes, starting with a letter and not ending with a dash.`
  if (reserved.has(name)) return `“${name}” is reserved: choose another project name.`
  return undefined
}

/** The nearest good project name to a folder's name, or `app` where nothing is left of it. */
export function projectNameFrom(folder: string): string {
  const label = folder
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/-+$/, '')
  if (label === '') return 'app'
  return reserved.has(label) ? `${label}-app` : label
}
