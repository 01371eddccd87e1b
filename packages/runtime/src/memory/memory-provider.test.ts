import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { nodePrograms, runConformance } from '../conformance/suite.ts'
import { type MemoryProgram, MemoryProvider } from './memory-provider.ts'

const forever = new Promise<number>(() => undefined)

const serve =
  (bound: 'any' | 'loopback'): MemoryProgram =>
  async ({ env, serve, signal, stdout }) => {
    await serve((_, response) => response.end(env['GREETING'] ?? 'hello'), { bound })
    stdout('listening\n')
    await once(signal, 'abort')
    stdout('bye\n')
    return 0
  }

const programs: Record<string, MemoryProgram> = {
  'serve.js': serve('any'),
  'serve-loopback.js': serve('loopback'),
  'fetch.js': async ({ argv, stdout }) => {
    const answer = await fetch(argv[2] ?? '', { signal: AbortSignal.timeout(2000) })
    stdout(`${await answer.text()}\n`)
    return 0
  },
  'tick.js': async ({ signal, stdout }) => {
    for (let n = 0; !signal.aborted; n++) {
      stdout(`${n}\n`)
      await delay(10, undefined, { signal }).catch(() => undefined)
    }
    return 0
  },
  'version.js': async ({ stdout }) => {
    stdout(`${process.version}\n`)
    return 0
  },
  'stubborn.js': ({ stdout }) => {
    stdout('ready\n')
    return forever
  },
  'family.js': ({ stdout }) => {
    stdout('begun\n')
    return forever
  },
}

runConformance(
  'memory',
  async () => {
    const provider = new MemoryProvider({ programs })
    return { provider, dispose: () => provider[Symbol.asyncDispose]() }
  },
  {
    ...nodePrograms,
    serve: ['node', 'serve.js'],
    serveLoopback: ['node', 'serve-loopback.js'],
    fetch: ['node', 'fetch.js'],
    tick: ['node', 'tick.js'],
    stubborn: ['node', 'stubborn.js'],
    family: ['node', 'family.js'],
    nodeVersion: ['node', 'version.js'],
  },
)
