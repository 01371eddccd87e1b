/**
 * Waits until an application answers: any HTTP response, on the port it was given or on one it was found listening on.
 * Nothing tells when a sandbox begins to listen, so this asks at short, growing intervals.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@coderunner/contract'
import type { ListeningPort, SandboxExit } from '@coderunner/runtime'
import { Client, errors } from 'undici'

export interface HealthProbe {
  address: string
  /** The one the application was told to use (`PORT`). */
  port: number
  timeoutMs: number
  listeningPorts(): Promise<readonly ListeningPort[]>
  /** Settles when the main process ends. */
  exited: Promise<SandboxExit>
  signal: AbortSignal
}

export interface Healthy {
  port: number
  bound: ListeningPort['bound']
}

export class EndedEarlyError extends AppError {
  readonly exit: SandboxExit
  constructor(exit: SandboxExit) {
    const how = exit.outOfMemory ? 'ran out of memory' : exit.code === 0 ? 'ended' : `ended with code ${exit.code}`
    super('start_failed', `The application ${how} before it answered.`)
    this.exit = exit
  }
}

/** An application may open another port before its own: so long its own one is waited for. */
const otherPortAfterMs = 400

export async function untilHealthy(probe: HealthProbe): Promise<Healthy> {
  const stop = new AbortController()
  const signal = AbortSignal.any([probe.signal, stop.signal])
  const exited = probe.exited.then(exit => {
    throw new EndedEarlyError(exit)
  })
  try {
    return await Promise.race([look({ ...probe, signal }), exited])
  } finally {
    stop.abort()
    exited.catch(() => {})
  }
}

async function look(probe: HealthProbe): Promise<Healthy> {
  const started = performance.now()
  let otherSince: number | undefined
  let listening: readonly ListeningPort[] = []
  let silent: number | undefined
  for (let intervalMs = 5; ; intervalMs = Math.min(intervalMs * 1.5, 250)) {
    probe.signal.throwIfAborted()
    listening = await probe.listeningPorts()
    const own = listening.find(({ port }) => port === probe.port)
    const others = listening.filter(({ port }) => port !== probe.port)
    if (others.length > 0) otherSince ??= performance.now()
    const candidates =
      own !== undefined
        ? [own]
        : otherSince !== undefined && performance.now() - otherSince > otherPortAfterMs
          ? others
          : []
    for (const candidate of candidates) {
      if (await answers(probe, candidate.port, started)) return { port: candidate.port, bound: candidate.bound }
      silent = candidate.port
    }
    if (performance.now() - started > probe.timeoutMs) throw neverAnswered(probe, listening, silent)
    await delay(intervalMs, undefined, { signal: probe.signal })
  }
}

async function answers(probe: HealthProbe, port: number, started: number): Promise<boolean> {
  const left = Math.max(100, probe.timeoutMs - (performance.now() - started))
  const host = probe.address.includes(':') ? `[${probe.address}]` : probe.address
  const client = new Client(`http://${host}:${port}`, {
    connect: { timeout: 2000 },
    headersTimeout: Math.ceil(Math.min(left, 20_000)),
    keepAliveTimeout: 1,
  })
  try {
    const { body } = await client.request({
      method: 'GET',
      path: '/',
      headers: { 'user-agent': 'CodeRunner health probe', connection: 'close' },
      signal: probe.signal,
    })
    // The status line is enough; a body may never end.
    body.on('error', () => {}).destroy()
    return true
  } catch (error) {
    if (probe.signal.aborted) throw error
    // Closed, reset, or no HTTP: not (yet) there.
    if (error instanceof errors.UndiciError || (error instanceof Error && 'code' in error)) return false
    throw error
  } finally {
    await client.destroy()
  }
}

function neverAnswered(probe: HealthProbe, listening: readonly ListeningPort[], silent: number | undefined): AppError {
  const seconds = Math.round(probe.timeoutMs / 1000)
  const found =
    listening.length === 0
      ? `It listens on no port; it has to listen on PORT (${probe.port}).`
      : silent === undefined
        ? `It listens on ${listening.map(({ port }) => port).join(', ')}.`
        : `It takes connections on port ${silent} but answers no HTTP there.`
  return new AppError('never_answered', `The application did not answer within ${seconds} s. ${found}`)
}
