import { join } from 'node:path'
import { readEnvironment } from './config.ts'
import { refusal, warnings } from './requirements.ts'
import { Supervisor } from './supervisor.ts'

// What is to be secret says so itself; sandboxes' users must get through directories made by a root with umask 077.
process.umask(0o022)
const stopping = new AbortController()
const report = (line: string): void => void process.stderr.write(`${line}\n`)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // Asked twice: the children end by themselves when we do.
    if (stopping.signal.aborted) process.exit(1)
    stopping.abort(new Error(`stopped by ${signal} while starting`))
  })
}

try {
  const { config, registry } = readEnvironment()
  const reason = await refusal(config)
  if (reason !== undefined) throw new Error(reason)
  for (const line of await warnings(config)) report(line)
  await using supervisor = await Supervisor.start({
    config,
    registry,
    repository: join(import.meta.dirname, '..', '..', '..'),
    report,
    signal: stopping.signal,
  })
  const { apiUrl, appsPort } = supervisor.status
  console.log(`API  ${apiUrl}`)
  console.log(
    `apps ${config.appsScheme}://${config.appsDomain === undefined ? config.listen.host : `*.${config.appsDomain}`}:${appsPort}`,
  )
  if (supervisor.setupToken !== undefined)
    console.log(`The first account needs this set-up token: ${supervisor.setupToken}`)
  if (!stopping.signal.aborted) await new Promise(resolve => stopping.signal.addEventListener('abort', resolve))
  report('stopping')
} catch (error) {
  report(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
