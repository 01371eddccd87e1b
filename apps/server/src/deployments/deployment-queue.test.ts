import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MemoryProgram } from '@coderunner/runtime/memory'
import { World, type WorldOptions } from './test-world.ts'

const hanging = {
  'package.json': JSON.stringify({ scripts: { start: 'node server.js', build: 'hang' } }),
  'server.js': '',
}
const app = (text: string) => ({ 'server.js': '//', 'answer.txt': text })

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))

async function oneAtATime(options: WorldOptions = {}) {
  const world = await World.start({ concurrentBuilds: 1, ...options })
  const waiting = (id: string, position: number) =>
    world.until(async () => {
      const row = await world.database.db
        .selectFrom('operation')
        .select('queue_position')
        .where('deployment_id', '=', id)
        .executeTakeFirst()
      return row?.queue_position === position
    })
  const building = (id: string) => world.until(async () => (await world.steps(id)).includes('build RUNNING'))
  return { world, waiting, building }
}

test('builds wait for each other in their order and say at which place', async () => {
  const { world, waiting, building } = await oneAtATime()
  await using _ = world
  const first = await world.deploy(hanging, { project: 'one' })
  await building(first)
  const second = await world.deploy(app('two'), { project: 'two' })
  await waiting(second, 1)
  const third = await world.deploy(app('three'), { project: 'three' })
  await waiting(third, 2)
  assert.ok((await world.log(third)).includes('system Waiting for 2 other builds to end.'))
  await world.act(second, 'cancel')
  await waiting(third, 1)
  assert.equal((await world.ended(second)).status, 'CANCELLED')
  await world.act(first, 'cancel')
  assert.equal((await world.ended(third)).status, 'SUCCEEDED')
  assert.equal((await world.ended(third)).queue_position, null)
  assert.ok((await world.log(third)).includes('system Now waiting for another build to end.'))
  assert.deepEqual(
    (await world.provider.list()).map(({ labels }) => labels['kind']),
    ['instance'],
  )
})

test('a newer deployment takes the place of one that waits, and lets one that builds end', async () => {
  const { world, waiting, building } = await oneAtATime()
  await using _ = world
  const underWay = await world.deploy(hanging)
  await building(underWay)
  const waits = await world.deploy(app('old'))
  await waiting(waits, 1)
  const elsewhere = await world.deploy(app('elsewhere'), { project: 'elsewhere' })
  await waiting(elsewhere, 2)
  const newest = await world.deploy(app('new'))
  assert.equal((await world.ended(waits)).status, 'CANCELLED')
  const { status, error_code, error_message } = await world.find(waits)
  assert.deepEqual([status, error_code], ['FAILED', 'superseded'])
  assert.match(error_message ?? '', new RegExp(newest))
  assert.ok((await world.log(waits)).some(line => line.startsWith('system A newer deployment')))
  await building(underWay)
  await world.act(underWay, 'cancel')
  assert.equal((await world.ended(newest)).status, 'SUCCEEDED')
  assert.equal((await world.ended(elsewhere)).status, 'SUCCEEDED')
  assert.equal(await world.fetch(), 'new')
})

const git: MemoryProgram = async ({ argv, files, signal, env, stderr }) => {
  if (argv[1] !== 'fetch') return 0
  if (argv.at(-1) === 'hangs') await untilAborted(signal)
  if (argv.at(-1) === 'private') {
    if (env['CR_GIT_TOKEN'] === 'sesame') await files.write('token.txt', Buffer.from('opened'))
    else {
      stderr("fatal: could not read Username for 'https://example.org': terminal prompts disabled\n")
      return 128
    }
  }
  await files.write('repo/server.js', Buffer.from('//'))
  await files.write('server.js', Buffer.from('//'))
  return 0
}

async function fetching(world: World, ref: string, gitToken?: string, directory?: string): Promise<string> {
  const project = await world.projects.findOrCreate({ userId: world.userId }, 'shop')
  await using upload = await world.deployments.blobs.stage()
  const options = { git: { url: 'https://example.org/r', ref, ...(directory !== undefined && { directory }) } }
  const order = { projectId: project.id, userId: world.userId, options, env: undefined, gitToken }
  return (await world.deployments.deploy(order, undefined, upload)).deploymentId
}

test('a repository is fetched before it is looked at', async () => {
  await using world = await World.start({ programs: { git } })
  const id = await fetching(world, 'main')
  assert.equal((await world.ended(id)).status, 'SUCCEEDED')
  assert.deepEqual((await world.steps(id)).slice(0, 2), ['fetch SUCCEEDED', 'analyze SUCCEEDED'])
  assert.equal(await world.fetch(), 'hello')
})

test('the token is sealed while it is needed, and is in no log', async () => {
  await using world = await World.start({ programs: { git } })
  const refused = await fetching(world, 'private')
  await world.ended(refused)
  const { error_code, error_message } = await world.find(refused)
  assert.equal(error_code, 'fetch_failed')
  assert.match(error_message ?? '', /private, or is not there/)
  const id = await fetching(world, 'private', 'sesame')
  assert.equal((await world.ended(id)).status, 'SUCCEEDED')
  const row = await world.find(id)
  assert.deepEqual([row.git_token, row.git_token_key_id, row.unfetched], [null, null, false])
  assert.ok(!JSON.stringify([row, await world.log(id)]).includes('sesame'))
})

test('a folder of a repository can be deployed alone; one that is not there is told', async () => {
  await using world = await World.start({ programs: { git } })
  assert.equal((await world.ended(await fetching(world, 'main', undefined, 'repo'))).status, 'SUCCEEDED')
  const id = await fetching(world, 'main', undefined, 'elsewhere')
  await world.ended(id)
  assert.match((await world.find(id)).error_message ?? '', /no folder elsewhere/)
})

test('cancel ends a fetch at once and keeps nothing', async () => {
  await using world = await World.start({ programs: { git } })
  const id = await fetching(world, 'hangs')
  await world.until(async () => (await world.provider.list()).length > 0)
  await world.act(id, 'cancel')
  assert.equal((await world.ended(id)).status, 'CANCELLED')
  assert.deepEqual(await world.provider.list(), [])
})

test('cancel ends the wait for an application that does not answer', async () => {
  await using world = await World.start({ timing: { healthTimeoutMs: 60_000 } })
  const id = await world.deploy({ 'mute.js': '' }, { start: 'node mute.js' })
  await world.until(async () => (await world.steps(id)).includes('health RUNNING'))
  await world.act(id, 'cancel')
  assert.equal((await world.ended(id)).status, 'CANCELLED')
  assert.deepEqual(await world.provider.list(), [])
})

test('files that may hold secrets are named in the log, and deployed', async () => {
  await using world = await World.start()
  const id = await world.running({
    'server.js': '//',
    '.env': 'A=1',
    '.env.example': 'A=',
    'certs/key.pem': '-----BEGIN RSA PRIVATE KEY-----\n',
    'certs/ca.pem': '-----BEGIN CERTIFICATE-----\n',
    id_rsa: 'x',
  })
  const warned = (await world.log(id)).filter(line => line.includes('may hold secrets'))
  assert.deepEqual(
    warned.map(line => line.split(' ')[1]),
    ['.env', 'certs/key.pem', 'id_rsa'],
  )
})
