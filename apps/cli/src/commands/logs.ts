import type { Client, LogEntry, LogFilter, LogQuery, LogTarget } from '@coderunner/client'
import { logLevels } from '@coderunner/contract/log-record'
import { type CommandContext, defineCommand, type Invocation, type OptionTable } from '../command.ts'
import { readChoice, readInteger } from '../command-line.ts'
import { newestDeployment } from '../deployment/choose-deployment.ts'
import { existingProject } from '../deployment/choose-project.ts'
import { readMoment } from '../duration.ts'
import { logLine } from '../terminal/log-line.ts'

type Source = LogEntry['source']

const options = {
  project: { type: 'string', short: 'p', value: 'NAME', help: 'Project' },
  lines: { type: 'string', short: 'n', value: 'N', help: 'The last N lines (default 100)' },
  since: { type: 'string', short: 'S', value: 'TIME', help: 'From then on: 30m, 1h, 2d ago, or 2026-01-31T12:00' },
  until: { type: 'string', short: 'U', value: 'TIME', help: 'Up to then' },
  follow: { type: 'boolean', short: 'f', help: 'Go on with new lines (what a terminal does without -n, -S, -U)' },
  level: { type: 'string', value: 'LEVEL', help: `Of this level: ${logLevels.join(', ')}` },
  text: { type: 'string', value: 'TEXT', help: 'Lines that hold this text' },
  build: { type: 'boolean', help: 'What builds wrote' },
  all: { type: 'boolean', short: 'a', help: 'Builds, applications and CodeRunner together' },
} as const satisfies OptionTable

export const logs = defineCommand({
  name: 'logs',
  summary: 'Show what applications and builds write',
  usage: '--project NAME [options]\nDEPLOYMENT [options]',
  notes: ['With --json each line is a JSON document. When the newest deployment has failed, its own log is shown.'],
  positionals: { min: 0, max: 1 },
  options,
  async run(context, invocation) {
    const { screen, signal, settings } = context
    const query = readQuery(invocation)
    const client = await context.client()
    const { target, sources } = await chooseLog(context, client, invocation)
    const fetched = invocation.options.lines ?? invocation.options.since ?? invocation.options.until
    const watched = screen.live && !settings.ci && !screen.json && fetched === undefined
    const print = (records: readonly LogEntry[]) => {
      for (const record of records)
        if (screen.json) screen.document(record)
        else screen.result(logLine(record, { colours: screen.colourOnStdout, time: true }))
    }
    const first = await fetchSources(client, target, sources, query, signal)
    print(first.records)
    if (invocation.options.follow !== true && !watched) return
    const shown = new Set(first.records.filter(({ cursor }) => cursor > first.cursor).map(({ cursor }) => cursor))
    const onInterruption = () => screen.note('Connection lost; trying again...')
    const filter = filterOf(query, sources)
    for await (const page of client.logs.follow(target, { cursor: first.cursor, filter, onInterruption }, signal))
      print(page.records.filter(({ source, cursor }) => sources.includes(source) && !shown.has(cursor)))
  },
})

function readQuery({ options: given }: Invocation<typeof options>): LogQuery {
  const now = Date.now()
  const { lines, since, until, level, text } = given
  return {
    // A period is shown whole, unless a number was said as well.
    lines:
      lines === undefined
        ? since === undefined
          ? 100
          : 10_000
        : readInteger(lines, '--lines', { min: 1, max: 10_000 }),
    ...(since !== undefined && { since: readMoment(since, '--since', now) }),
    ...(until !== undefined && { until: readMoment(until, '--until', now) }),
    ...(level !== undefined && { level: readChoice(level, '--level', logLevels) }),
    ...(text !== undefined && { text }),
  }
}

async function chooseLog(
  context: CommandContext,
  client: Client,
  { options: given, positionals: [id] }: Invocation<typeof options>,
): Promise<{ target: LogTarget; sources: readonly Source[] }> {
  const sources: Source[] =
    given.all === true ? ['run', 'build', 'system'] : given.build === true ? ['build'] : ['run', 'system']
  if (id !== undefined) return { target: { deploymentId: id }, sources }
  const project = await existingProject(context, client, given.project, 'logs')
  const newest = await newestDeployment(client, project.name)
  if (newest?.status === 'FAILED' && given.all !== true && given.build !== true) {
    context.screen.note(`The newest deployment (${newest.id}) has failed; this is its log. --all shows everything.`)
    return { target: { deploymentId: newest.id }, sources: ['run', 'build', 'system'] }
  }
  return { target: { projectId: project.id }, sources }
}

function filterOf(query: LogQuery, sources: readonly Source[]): LogFilter {
  return {
    ...(query.level !== undefined && { level: query.level }),
    ...(query.text !== undefined && { text: query.text }),
    ...(sources.length === 1 && sources[0] !== undefined && { source: sources[0] }),
  }
}

/** The last lines of several sources in their order. The API filters by one source or none. */
async function fetchSources(
  client: Client,
  target: LogTarget,
  sources: readonly Source[],
  query: LogQuery,
  signal: AbortSignal,
): Promise<{ records: LogEntry[]; cursor: number }> {
  const queries = sources.length === 3 ? [query] : sources.map(source => ({ ...query, source }))
  const pages = await Promise.all(queries.map(one => client.logs.page(target, one, signal)))
  const records = pages.flatMap(page => page.records).sort((a, b) => a.cursor - b.cursor)
  return {
    records: records.slice(-(query.lines ?? records.length)),
    cursor: Math.min(...pages.map(page => page.cursor)),
  }
}
