import type { AnalysisContext, Found } from './analysis-context.ts'
import { staticRoot } from './static-root.ts'

/** Files that are published as they are. */
export async function analyzeStatic({
  files,
  wishes,
  processes,
  findings,
}: AnalysisContext): Promise<Found | undefined> {
  if (processes !== undefined && wishes.runtime !== 'static') return undefined
  const { build, indexFallback } = wishes
  const built = build !== undefined && build !== ''
  const root = wishes.root ?? (await staticRoot(files, findings))
  if (root === undefined) return undefined
  return {
    runtime: 'static',
    ...(built ? { build } : {}),
    processes: [],
    root,
    ...(indexFallback === undefined ? {} : { indexFallback }),
  }
}
