import type { Diagnosis } from '@coderunner/runtime'
import type { Config } from './config.ts'

const withoutIsolation = `Without isolation, for your own code only and on this machine only:
  CODERUNNER_RUNTIME=process npm start`

/** Why CodeRunner cannot run here as it is asked to, in words that end in a command; undefined when it can be tried. */
export async function refusal({ runtime }: Config): Promise<string | undefined> {
  const isRoot = process.getuid?.() === 0
  if (runtime === 'process') {
    return isRoot
      ? 'CODERUNNER_RUNTIME=process runs applications with the rights of CodeRunner, and therefore not as root: use another user.'
      : undefined
  }
  if (isRoot && process.platform === 'linux') return undefined
  const { diagnoseHost } = await import('@coderunner/runtime-host')
  const lines = shortcomings(await diagnoseHost())
  return ['CodeRunner cannot make isolated sandboxes here:', ...lines, '', withoutIsolation].join('\n')
}

/** What may not work on this machine, each with what mends it. */
export async function warnings({ runtime, dataDir }: Config): Promise<string[]> {
  if (runtime === 'process') return []
  const { diagnoseHost } = await import('@coderunner/runtime-host')
  return shortcomings(await diagnoseHost({ dataDir }))
}

function shortcomings(diagnoses: readonly Diagnosis[]): string[] {
  return diagnoses
    .filter(({ ok }) => !ok)
    .map(({ name, detail, fix }) => `  ${name}: ${detail}${fix === undefined ? '' : `\n    ${fix}`}`)
}
