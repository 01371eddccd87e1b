/** A server ends anywhere, without a word, and another one takes over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { DeploymentLeases } from './deployment-leases.ts'
import { deployments as deploymentStore, LostLeaseError } from './deployment-store.ts'
import type { Deployments } from './deployments.ts'
import { World } from './test-world.ts'

const app = { 'server.js': '//' }
const built = {
  'package.json': JSON.stringify({
    scripts: { start: 'node server.js', build: 'make' },
    dependencies: { express: '5' },
  }),
  'package-lock.json': '{}',
  'server.js': '//',
}
const short = { leaseMs: 400, resyncMs: 300 }

/** A state of a step stays to be seen for a while before the next one is written. */
async function lingerAt(world: World, step: string, status: string): Promise<void> {
  const state = sql.lit(JSON.stringify([{ name: step, status }]))
  await sql`create function linger() returns trigger language plpgsql as $$
    begin
      if old.steps @> ${state}::jsonb then perform pg_sleep(0.2); end if;
      return new;
    end $$`.execute(world.database.db)
  await sql`create trigger linger before update on operation for each row execute function linger()`.execute(
    world.database.db,
  )
}

/** Ends the server as soon as a step of the deployment shows this state, and starts another. */
async function crashAt(world: World, id: string, step: string, status: string): Promise<Deployments> {
  await world.until(async () => (await world.steps(id)).includes(`${step} ${status}`), 10_000)
  await world.deployments.abandon()
  world.deployments = await world.startServer(short)
  return world.deployments
}

const moments = ['analyze', 'install', 'build', 'start', 'health', 'promote'].flatMap(step => [
  [step, 'RUNNING'] as const,
  [step, 'SUCCEEDED'] as const,
])
for (const [step, status] of moments)
  test(`the server ends when ${step} is ${status}: the next one finishes the deploy`, async () => {
    await using world = await World.start({ timing: short })
    await lingerAt(world, step, status)
    const id = await world.deploy(built)
    await crashAt(world, id, step, status).catch(() => assert.fail(`${step} was never seen ${status}`))
    const operation = await world.ended(id)
    assert.equal(operation.status, 'SUCCEEDED', JSON.stringify(operation.steps))
    assert.equal((await world.find(id)).status, 'RUNNING')
    assert.equal(await world.until(async () => (await world.fetch()) === 'built' && 'built'), 'built')
    await world.until(async () => (await world.provider.list()).length === 1)
    const alive = (await world.instances(id)).filter(row => row.status !== 'GONE' && row.status !== 'FAILED')
    assert.deepEqual(
      alive.map(row => row.status),
      ['RUNNING'],
    )
  })

test('the server ends in the middle of a restart: one instance serves afterwards', async () => {
  for (const step of ['start', 'health', 'drain', 'stop']) {
    await using world = await World.start({ timing: short })
    const id = await world.running(app)
    await lingerAt(world, step, 'RUNNING')
    await world.act(id, 'restart')
    await crashAt(world, id, step, 'RUNNING')
    const operation = await world.ended(id)
    assert.equal(operation.status, 'SUCCEEDED')
    assert.equal(await world.fetch(), 'hello')
    await world.until(async () => (await world.provider.list()).length === 1)
  }
})

test('output is neither lost nor doubled when another server goes on', async () => {
  const lines: ((line: string) => void)[] = []
  await using world = await World.start({
    timing: short,
    programs: {
      'talk.js': async ({ serve, stdout, signal }) => {
        lines.push(line => stdout(`${line}\n`))
        await serve((_, response) => response.end('ok'))
        await new Promise(resolve => signal.addEventListener('abort', resolve))
        return 0
      },
    },
  })
  const id = await world.running({ 'package.json': '{"scripts":{"start":"node talk.js"}}', 'talk.js': '' })
  const say = (text: string) => lines[0]?.(text)
  const heard = async () => (await world.log(id)).filter(line => line.startsWith('run ')).map(line => line.slice(4))
  for (let n = 0; n < 50; n++) say(`a${n}`)
  await world.until(async () => (await heard()).includes('a49'))
  await world.deployments.abandon()
  // As after a crash between storing lines and moving the offset.
  await world.database.db.updateTable('instance').set({ output_offset: 0 }).where('deployment_id', '=', id).execute()
  for (let n = 0; n < 50; n++) say(`b${n}`)
  world.deployments = await world.startServer(short)
  await world.until(async () => (await heard()).includes('b49'))
  say('end')
  await world.until(async () => (await heard()).includes('end'))
  const numbers = (letter: string) => Array.from({ length: 50 }, (_, n) => `${letter}${n}`)
  assert.deepEqual(await heard(), [...numbers('a'), ...numbers('b'), 'end'])
})

test('a server that is ended in order hands over at once', async () => {
  await using world = await World.start()
  const id = await world.running(app)
  await world.deployments[Symbol.asyncDispose]()
  world.deployments = await world.startServer()
  await world.act(id, 'restart')
  assert.equal((await world.ended(id)).status, 'SUCCEEDED')
})

test('the next server on the same data directory does not wait for the leases of a killed one', async () => {
  await using world = await World.start()
  const { epoch } = await world.find(await world.running(app))
  await world.deployments[Symbol.asyncDispose]()
  const leaseMs = 60_000
  const killed = await world.startServer({ leaseMs }, 'here')
  world.deployments = killed
  const id = await world.running({ ...app, 'answer.txt': 'two' })
  await killed.abandon()
  world.deployments = await world.startServer({ leaseMs }, 'here')
  await world.act(id, 'restart')
  assert.equal((await world.ended(id)).status, 'SUCCEEDED')
  assert.ok((await world.find(id)).epoch > epoch)
})

test('a lease that is lost lets nothing more be written and no order through', async () => {
  await using world = await World.start()
  const id = await world.running(app)
  await world.deployments[Symbol.asyncDispose]()
  const { db } = world.database
  const leaseMs = 60
  await using slow = await DeploymentLeases.start({ db, holder: 'slow', leaseMs, renewMs: 10_000 })
  await using quick = await DeploymentLeases.start({ db, holder: 'quick' })
  const first = await slow.acquire(id)
  assert.ok(first !== undefined && 'epoch' in first)
  const refused = await quick.acquire(id)
  assert.ok(refused !== undefined && 'retryInMs' in refused && refused.retryInMs <= leaseMs + 60)
  const second = await world.until(async () => {
    const lease = await quick.acquire(id)
    return lease !== undefined && 'epoch' in lease ? lease : undefined
  })
  assert.equal(second.epoch, first.epoch + 1)
  await deploymentStore(db).asHolder(second).update({ promote: false })
  await assert.rejects(deploymentStore(db).asHolder(first).update({ promote: false }), LostLeaseError)
  const [info] = await world.provider.list()
  const sandbox = await world.provider.get(info?.id ?? '')
  await sandbox?.stop(second.fence, { graceMs: 100 })
  await assert.rejects(async () => sandbox?.destroy(first.fence), { code: 'stale_epoch' })
  await quick[Symbol.asyncDispose]()
  world.deployments = await world.startServer()
})

test('sandboxes that belong to nobody are ended', async () => {
  await using world = await World.start({ timing: short })
  const id = await world.running(app)
  const stray = (sandboxId: string, labels: Record<string, string>) =>
    world.provider.create(
      {
        id: sandboxId,
        group: 'g'.repeat(20),
        labels,
        template: 'node',
        layers: [],
        limits: { memoryMb: 512, cpus: 1, pids: 64, diskMb: 100 },
        env: {},
        main: { kind: 'agent' },
        network: { egress: 'none' },
      },
      { key: sandboxId, epoch: 1 },
    )
  await stray('a'.repeat(20), {})
  await stray('b'.repeat(20), { deployment: 'z'.repeat(20), kind: 'instance' })
  await stray('c'.repeat(20), { deployment: id, kind: 'instance' })
  await stray('d'.repeat(20), { deployment: id, kind: 'command' })
  await world.until(async () => (await world.provider.list()).length === 1)
  assert.equal(await world.fetch(), 'hello')
})

test('sandboxes that vanished (a reboot) are started again', async () => {
  await using world = await World.start({ timing: short })
  const id = await world.running(app)
  for (const { id: sandboxId } of await world.provider.list())
    await (await world.provider.get(sandboxId))?.destroy({ key: sandboxId, epoch: 1 })
  await world.until(async () => (await world.provider.list()).length === 1 && (await world.fetch()) === 'hello')
  assert.equal((await world.find(id)).status, 'RUNNING')
})

test('routes reach an ingress that was away', async () => {
  await using world = await World.start({ timing: short })
  world.ingress.isDown = true
  const deploying = world.running(app)
  await new Promise(resolve => setTimeout(resolve, 300))
  world.ingress.isDown = false
  await deploying
  assert.equal(await world.fetch(), 'hello')
})
