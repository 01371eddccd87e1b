import { AppError, type FieldProblem, idPattern } from '@coderunner/contract'
import { packageManagerNames, type SandboxSpec } from './sandbox.ts'

/** A published version: no range, no tag, nothing that a package manager's command line could take for something else. */
const exactVersion = /^\d{1,6}\.\d{1,6}\.\d{1,6}(-[0-9A-Za-z.-]{1,64})?$/

/** What every provider refuses before it does anything. Throws AppError `invalid_request` with all that is wrong. */
export function checkSandboxSpec(spec: SandboxSpec): void {
  const problems: FieldProblem[] = []
  const need = (holds: boolean, path: string, message: string): void => {
    if (!holds) problems.push({ path, message })
  }
  need(idPattern.test(spec.id), '/id', 'has to be 20 letters a-z and digits')
  need(/^[A-Za-z0-9_-]{1,64}$/.test(spec.group), '/group', 'has to be 1 to 64 letters, digits, _ and -')
  for (const layer of spec.layers) need(/^[A-Za-z0-9_-]{1,64}$/.test(layer), '/layers', `"${layer}" is no layer id`)
  for (const [name, value] of Object.entries(spec.limits)) {
    need(Number.isFinite(value) && value > 0, `/limits/${name}`, 'has to be above 0')
  }
  for (const [name, value] of Object.entries(spec.env)) {
    need(name !== '' && !/[=\0]/.test(name) && !value.includes('\0'), '/env', `"${name}" cannot be set`)
  }
  const { nodeVersion, packageManager } = spec
  need(nodeVersion === undefined || exactVersion.test(nodeVersion), '/nodeVersion', 'has to be exact, such as 20.19.5')
  if (packageManager !== undefined) {
    const { name, version } = packageManager
    need(
      packageManagerNames.includes(name),
      '/packageManager/name',
      `has to be one of ${packageManagerNames.join(', ')}`,
    )
    need(exactVersion.test(version), '/packageManager/version', 'has to be exact, such as 9.15.9')
  }
  if (spec.main.kind === 'command') {
    need((spec.main.argv[0] ?? '') !== '', '/main/argv', 'names no program')
    need(!spec.main.argv.some(word => word.includes('\0')), '/main/argv', 'holds a zero byte')
  }
  if (problems.length === 0) return
  const first = problems.map(({ path, message }) => `${path} ${message}`).join('; ')
  throw new AppError('invalid_request', `The sandbox cannot be made: ${first}.`, { details: problems })
}
