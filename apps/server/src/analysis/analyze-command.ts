import type { AnalysisContext, Found } from './analysis-context.ts'

/** Whatever it is made with: a start command was given. */
export async function analyzeCommand({ wishes, processes, findings }: AnalysisContext): Promise<Found | undefined> {
  if (processes === undefined) return undefined
  findings.found('a start command', 'no language was recognised; Node, npm, Python and a shell are there')
  const { build } = wishes
  return {
    runtime: 'command',
    ...(build === undefined || build === '' ? {} : { build }),
    processes: [...processes],
  }
}
