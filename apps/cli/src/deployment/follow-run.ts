import type { Client } from '@coderunner/client'
import { logLine } from '../terminal/log-line.ts'
import type { Screen } from '../terminal/screen.ts'

/** Shows what a project's instances write from now on, whichever deployment they are of, until `signal` is aborted. */
export async function followRun(client: Client, projectId: string, screen: Screen, signal: AbortSignal): Promise<void> {
  const target = { projectId }
  try {
    const { cursor } = await client.logs.page(target, { lines: 1 }, signal)
    for await (const page of client.logs.follow(target, { cursor, filter: { source: 'run' } }, signal))
      for (const record of page.records)
        if (screen.json) screen.document(record)
        else if (!screen.quiet) screen.result(logLine(record, { colours: screen.colourOnStdout, time: true }))
  } catch (error) {
    if (!signal.aborted) screen.warn(`the log is no longer followed: ${(error as Error).message}`)
  }
}
