import type { DeployPlan } from '@coderunner/client'
import { safeText } from './safe-text.ts'

const labelWidth = 16

/** A plan for people: what was detected and why, and the steps that would follow. */
export function planText({ detection, steps }: DeployPlan): string[] {
  const facts: [string, string | undefined][] = [
    ['Runtime', detection.runtime],
    ['Node.js', detection.nodeVersion],
    ['Package manager', detection.packageManager],
    ['Install', detection.install],
    ['Build', detection.build],
    ['Folder', detection.root],
    ['Port', detection.port?.toString()],
    ...detection.processes.map(({ type, command, count }): [string, string] => [
      `Process ${type}`,
      count === 1 ? command : `${command} (${count} times)`,
    ]),
  ]
  const width = Math.max(labelWidth, ...facts.map(([label]) => label.length + 1))
  const line = (label: string, text: string) => `${safeText(label).padEnd(width)} ${safeText(text)}`
  return [
    ...facts.flatMap(([label, value]) => (value === undefined ? [] : [line(label, value)])),
    ...section(
      'Found',
      detection.findings.map(({ what, why }) => `${safeText(what)} (${safeText(why)})`),
    ),
    ...section(
      'Warnings',
      detection.warnings.map(warning => safeText(warning)),
    ),
    ...section(
      'Steps',
      steps.map(({ name, description }, i) => `${i + 1}. ${safeText(name)}: ${safeText(description)}`),
    ),
  ]
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines.map(text => `  ${text}`)]
}
