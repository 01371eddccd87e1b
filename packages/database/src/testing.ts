import { createHash, randomBytes } from 'node:crypto'
import { Client } from 'pg'
import { migrate, readMigrations } from './migrator.ts'
import { TestCluster } from './test-cluster.ts'

export { TestCluster } from './test-cluster.ts'

export interface TestDatabase extends AsyncDisposable {
  url: string
}

let ownCluster: Promise<TestCluster> | undefined

/** The cluster of this test run (`CODERUNNER_TEST_DATABASE_URL`), or one that lives as long as this process. */
async function clusterUrl(): Promise<string> {
  const shared = process.env['CODERUNNER_TEST_DATABASE_URL']
  if (shared !== undefined) return shared
  ownCluster ??= TestCluster.start()
  return (await ownCluster).url
}

/**
 * A database of one test's own, dropped when it is disposed of: a clone of a template that has the migrations of
 * `migrations` (60-95 ms), or an empty one.
 */
export async function testDatabase(migrations?: string): Promise<TestDatabase> {
  const cluster = await clusterUrl()
  const template = migrations === undefined ? 'template1' : await ensureTemplate(cluster, migrations)
  const name = `test_${randomBytes(8).toString('hex')}`
  await withClient(cluster, client => client.query(`create database ${name} template ${template}`))
  return {
    url: urlOf(cluster, name),
    async [Symbol.asyncDispose]() {
      await withClient(cluster, client => client.query(`drop database if exists ${name} with (force)`))
    },
  }
}

/** Named by its content and renamed when complete, so that test files share it and a broken one is never used. */
async function ensureTemplate(cluster: string, directory: string): Promise<string> {
  const hash = createHash('sha256')
  for (const { name, checksum } of await readMigrations(directory)) hash.update(`${name} ${checksum}\n`)
  const template = `template_${hash.digest('hex').slice(0, 16)}`
  await withClient(cluster, async client => {
    await client.query('select pg_advisory_lock(1)')
    const { rowCount } = await client.query('select from pg_database where datname = $1', [template])
    if (rowCount === 1) return
    const unfinished = `${template}_unfinished`
    await client.query(`drop database if exists ${unfinished} with (force)`)
    await client.query(`create database ${unfinished}`)
    await migrate(urlOf(cluster, unfinished), directory)
    await client.query(`alter database ${unfinished} rename to ${template}`)
  })
  return template
}

async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function urlOf(cluster: string, database: string): string {
  return cluster.replace(/^(postgres(?:ql)?:\/\/[^/]*\/)[^?]*/, `$1${database}`)
}
