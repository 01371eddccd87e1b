import { once } from 'node:events'
import { closeSync, writeSync } from 'node:fs'
import { ConfigError, readConfig } from './config.ts'
import { createLogger } from './logger.ts'
import { ControlPlane } from './server.ts'

async function run(): Promise<void> {
  const config = readConfig()
  const logger = createLogger(config.logLevel)
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(signal))
  if (config.readyFd !== undefined) {
    // Under coderunnerd: its end of the pipe closes when it ends, however it ends.
    process.stdin.once('end', () => stop.abort('the supervisor has ended')).resume()
  }

  await using server = await ControlPlane.start(config, { logger })
  const { port, setupRequired } = server
  logger.info({ port, url: config.publicUrl }, 'ready')
  if (config.readyFd !== undefined) {
    writeSync(config.readyFd, `${JSON.stringify({ ready: true, port, setupRequired })}\n`)
    closeSync(config.readyFd)
  }
  if (!stop.signal.aborted) await once(stop.signal, 'abort')
  logger.info({ reason: String(stop.signal.reason) }, 'stopping')
}

try {
  await run()
} catch (error) {
  if (error instanceof ConfigError) console.error(error.message)
  else createLogger('fatal').fatal({ err: error }, 'the server cannot run')
  process.exit(1) // stdin is open still
}
