import { once } from 'node:events'
import { closeSync, writeSync } from 'node:fs'
import pino from 'pino'
import { readConfig } from './config.ts'
import { Ingress } from './ingress.ts'

const toStdout = pino.destination({ fd: 1, sync: true })

async function run(): Promise<void> {
  const config = readConfig()
  const logger = pino({ level: config.logLevel, base: { app: 'ingress' } }, toStdout)
  const ended = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort())
  // The supervisor holds the other end: when it dies, so do we.
  process.stdin.once('end', () => ended.abort())
  process.stdin.once('error', () => ended.abort())
  process.stdin.resume()

  await using ingress = await Ingress.start(config, logger)
  if (config.readyFd !== undefined) {
    writeSync(config.readyFd, `${JSON.stringify({ ready: true, port: ingress.appsPort })}\n`)
    closeSync(config.readyFd)
  }
  if (!ended.signal.aborted) await once(ended.signal, 'abort')
  logger.info('Ending: requests in flight are finished first')
}

try {
  await run()
  process.stdin.destroy()
} catch (error) {
  pino({ base: { app: 'ingress' } }, toStdout).fatal({ err: error }, 'The ingress cannot run')
  process.exit(1) // stdin is open still
}
