import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client } from 'pg'
import { readConfig } from './config.ts'
import { prepareInstance } from './instance.ts'
import { Launcher } from './launcher.ts'
import { PostgresService } from './postgres-service.ts'

const repository = join(import.meta.dirname, '..', '..', '..')
const skip = process.getuid?.() === 0 && process.platform === 'linux' ? false : 'needs root on Linux'

test('PostgreSQL runs launched, without rights, and is started again after kill -9', {
  skip,
  timeout: 60_000,
}, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'crpgs-'))
  const config = {
    ...readConfig({ CODERUNNER_DATA_DIR: join(directory, 'data') }, true),
    runParent: join(directory, 'run'),
  }
  const { data, run } = await prepareInstance(config)
  const uid = config.accounts.postgres
  const again = Promise.withResolvers<void>()
  try {
    using launcher = new Launcher({ repository, runDir: run.root, dataDir: data.root })
    await using service = await PostgresService.start(
      {
        dataDir: data.postgres,
        socketDir: run.postgres,
        logFile: join(data.log, 'postgres.log'),
        uid,
        spawn: (command, args, { env, stdio }) =>
          launcher.spawn({
            account: { name: 'postgres', uid, gid: uid },
            command,
            args,
            env,
            stdio,
            data: [data.postgres, run.postgres],
            sockets: [],
          }),
      },
      () => again.resolve(),
    )
    const first = await postmaster(service.url)
    const status = readFileSync(`/proc/${first}/status`, 'utf8')
    assert.match(status, new RegExp(`^Uid:\t${uid}\t${uid}\t${uid}\t${uid}$`, 'm'))
    assert.match(status, /^CapBnd:\t0+$/m)
    process.kill(first, 'SIGKILL')
    await again.promise
    const second = await untilAnswering(service.url)
    assert.notEqual(second, first)
  } finally {
    await rm(directory, { recursive: true })
  }
})

async function postmaster(url: string): Promise<number> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query("select pg_read_file('postmaster.pid') as file")
    return Number((rows[0] as { file: string }).file.split('\n')[0])
  } finally {
    await client.end()
  }
}

/** As a client of a server that comes back: nothing tells it but trying. */
async function untilAnswering(url: string): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await postmaster(url)
    } catch (error) {
      if (attempt === 100) throw error
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}
