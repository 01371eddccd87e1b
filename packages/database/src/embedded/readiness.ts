import { watch } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import { superuser } from './cluster-directory.ts'
import { type PostgresExit, readPostmaster } from './postmaster.ts'

/** Not yet there, or not yet, or no longer, taking connections. */
const passing = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', '57P03'])

/**
 * Resolves when a real connection is answered and our database is there. The server's own word in `postmaster.pid` says
 * when to try.
 * @param wanted.url of the maintenance database
 * @throws when the server ends, refuses us, or takes longer than `timeoutMs`
 */
export async function untilAnswering(wanted: {
  clusterDir: string
  url: string
  exited: Promise<PostgresExit>
  timeoutMs: number
}): Promise<void> {
  const { clusterDir, exited, timeoutMs } = wanted
  const deadline = Date.now() + timeoutMs
  let changed = Promise.withResolvers<'again'>()
  const watcher = watch(clusterDir, () => changed.resolve('again'))
  const ended = exited.then(({ code }): never => {
    throw new Error(`it ended with code ${code}`)
  })
  ended.catch(() => {})
  try {
    for (;;) {
      changed = Promise.withResolvers()
      if ((await readPostmaster(clusterDir))?.ready && (await answers(wanted.url))) return
      if (Date.now() > deadline) throw new Error(`it did not answer within ${timeoutMs / 1000} s`)
      // The timer is for file systems that report no changes.
      const timer = new AbortController()
      await Promise.race([changed.promise, ended, delay(1000, undefined, { signal: timer.signal }).catch(() => {})])
      timer.abort()
    }
  } finally {
    watcher.close()
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  client.on('error', () => {}) // told by the query that fails
  try {
    await client.connect()
    const { rowCount } = await client.query('select from pg_database where datname = $1', [superuser])
    if (rowCount === 0) await client.query(`create database ${superuser}`)
    return true
  } catch (error) {
    if (passing.has((error as { code?: string }).code ?? '')) return false
    throw error
  } finally {
    await client.end().catch(() => {})
  }
}
