import assert from 'node:assert/strict'
import { test } from 'node:test'
import { operations } from './operation-store.ts'
import { World } from './test-world.ts'

const app = { 'server.js': '//' }
const withDependencies = {
  'package.json': JSON.stringify({
    scripts: { start: 'node server.js', build: 'make' },
    dependencies: { express: '5' },
  }),
  'package-lock.json': '{}',
  'server.js': '//',
}

test('a folder becomes a live URL', async () => {
  await using world = await World.start()
  const id = await world.running(app)
  assert.deepEqual(await world.steps(id), [
    'analyze SUCCEEDED',
    'install SKIPPED',
    'build SUCCEEDED',
    'start SUCCEEDED',
    'health SUCCEEDED',
    'promote SUCCEEDED',
  ])
  assert.equal(await world.fetch(), 'hello')
  const { slug, serving } = await world.find(id)
  assert.ok(serving)
  assert.equal(await world.fetch(`${slug}--shop.apps.test`), 'hello')
  const log = await world.until(async () => {
    const lines = await world.log(id)
    return lines.includes('run listening') ? lines : undefined
  })
  assert.ok(log.includes('run a warning: careful'))
  assert.ok(log.some(line => line.startsWith('system Found start: node server.js')))
  assert.deepEqual(
    (await world.provider.list()).map(({ labels }) => labels['kind']),
    ['instance'],
  )
})

test('dependencies are installed once, builds run every time', async () => {
  await using world = await World.start()
  const first = await world.running(withDependencies)
  assert.equal(await world.fetch(), 'built')
  assert.deepEqual((await world.steps(first)).slice(0, 3), [
    'analyze SUCCEEDED',
    'install SUCCEEDED',
    'build SUCCEEDED',
  ])
  assert.ok((await world.log(first)).includes('build added 1 package'))
  const second = await world.running({ ...withDependencies, 'other.js': '' })
  assert.deepEqual((await world.steps(second)).slice(0, 3), ['analyze SUCCEEDED', 'install SKIPPED', 'build SUCCEEDED'])
  assert.ok(!(await world.log(second)).some(line => line.includes('added 1 package')))
})

test('the same source without a build is not unpacked again', async () => {
  await using world = await World.start()
  await world.running(app)
  const again = await world.running(app)
  assert.equal((await world.steps(again))[2], 'build SKIPPED')
})

test('environment is kept, changed and given to the application', async () => {
  await using world = await World.start()
  await world.running(app, { env: { GREETING: 'hi', OTHER: '1' } })
  assert.equal(await world.fetch(), 'hello hi')
  await world.running(app)
  assert.equal(await world.fetch(), 'hello hi')
  await world.running(app, { env: { GREETING: 'ho' } })
  assert.equal(await world.fetch(), 'hello ho')
})

test('a newer deployment takes over without a gap and the old one sleeps', async () => {
  await using world = await World.start()
  const first = await world.running({ ...app, 'answer.txt': 'one' })
  const before = world.ingress.tables.length
  const second = await world.running({ ...app, 'answer.txt': 'two' })
  assert.equal(await world.fetch(), 'two')
  await world.ended(first)
  assert.equal((await world.find(first)).status, 'SLEEPING')
  assert.equal((await world.provider.list()).length, 1)
  assert.equal(world.ingress.drained.length, 1)
  // At every moment the project's URL led to something that answers.
  for (const table of world.ingress.tables.slice(before)) {
    const route = table.routes.find(({ hosts }) => hosts.includes('shop.apps.test'))
    assert.equal(route?.target.kind, 'instances')
  }
  const { slug } = await world.find(first)
  assert.equal(await world.fetch(`${slug}--shop.apps.test`), 'sleeping')
  assert.ok((await world.find(second)).serving)
})

test('a failed deploy says why, keeps nothing and leaves the serving one alone', async () => {
  await using world = await World.start()
  const serving = await world.running(app)
  const failures: [Record<string, string>, string, RegExp, RegExp][] = [
    [{ 'main.c': '' }, 'analyze', /^nothing_to_run$/, /Looked for/],
    [
      { 'package.json': '{"scripts":{"build":"fail","start":"node server.js"}}', ...app },
      'build',
      /^build_failed$/,
      /TS2322/,
    ],
    [
      { 'package.json': '{"scripts":{"start":"node crash.js"}}', 'crash.js': '' },
      'health',
      /^start_failed$/,
      /code 3[\s\S]*no database/,
    ],
  ]
  for (const [files, step, code, message] of failures) {
    const id = await world.deploy(files)
    const operation = await world.ended(id)
    assert.equal(operation.status, 'FAILED')
    const failed = operation.steps.find(({ status }) => status === 'FAILED')
    assert.equal(failed?.name, step)
    assert.match(failed.error?.code ?? '', code)
    const found = await world.find(id)
    assert.equal(found.status, 'FAILED')
    assert.match(found.error_code ?? '', code)
    assert.match(found.error_message ?? '', message)
    assert.equal((await world.provider.list()).length, 1)
    assert.equal(await world.fetch(), 'hello')
  }
  assert.ok((await world.find(serving)).serving)
})

test('one that never answers is told so after its time', async () => {
  await using world = await World.start({ timing: { healthTimeoutMs: 300 } })
  const id = await world.deploy({ 'package.json': '{"scripts":{"start":"node mute.js"}}', 'mute.js': '' })
  await world.ended(id)
  const { error_code, error_message } = await world.find(id)
  assert.equal(error_code, 'never_answered')
  assert.match(error_message ?? '', /listens on no port/)
  assert.equal((await world.provider.list()).length, 0)
})

test('a static site is published and has no process', async () => {
  await using world = await World.start()
  const id = await world.running({ 'index.html': '<h1>hi</h1>', '.env': 'SECRET' })
  assert.deepEqual(await world.steps(id), ['analyze SUCCEEDED', 'publish SUCCEEDED', 'promote SUCCEEDED'])
  assert.deepEqual(world.ingress.target('shop.apps.test'), { kind: 'static', siteId: id })
  assert.deepEqual(
    world.ingress.sites.get(id)?.files.map(file => file.path),
    ['/index.html'],
  )
  assert.deepEqual(await world.provider.list(), [])
  await world.act(id, 'stop')
  await world.ended(id)
  assert.equal(await world.fetch(), 'unavailable')
  await world.act(id, 'start')
  await world.ended(id)
  assert.equal(await world.fetch(), 'static')
  await world.act(id, 'destroy')
  await world.ended(id)
  assert.equal(world.ingress.sites.size, 0)
})

test('stop, start, restart and destroy', async () => {
  await using world = await World.start()
  const id = await world.running(app)
  await assert.rejects(world.act(id, 'start'), {
    code: 'action_not_allowed',
    message: /RUNNING.*Allowed now: stop, restart/,
  })
  const [before] = await world.provider.list()

  await world.act(id, 'restart')
  const restarted = await world.ended(id)
  assert.deepEqual(
    restarted.steps.map(step => step.name),
    ['start', 'health', 'drain', 'stop'],
  )
  const [after, ...rest] = await world.provider.list()
  assert.notEqual(after?.id, before?.id)
  assert.deepEqual(rest, [])
  assert.equal(await world.fetch(), 'hello')

  await world.act(id, 'stop')
  assert.deepEqual(
    (await world.ended(id)).steps.map(step => step.name),
    ['drain', 'stop'],
  )
  assert.equal((await world.find(id)).status, 'STOPPED')
  assert.deepEqual(await world.provider.list(), [])
  assert.equal(await world.fetch(), 'unavailable')

  await world.act(id, 'start')
  await world.ended(id)
  assert.equal(await world.fetch(), 'hello')

  await world.act(id, 'destroy')
  await world.ended(id)
  assert.equal((await world.find(id)).status, 'DESTROYED')
  assert.deepEqual(await world.provider.list(), [])
  await assert.rejects(world.act(id, 'start'), { code: 'action_not_allowed', message: /DESTROYED/ })
})

test('a sleeping deployment wakes on a request and serves on', async () => {
  await using world = await World.start()
  const old = await world.running({ ...app, 'answer.txt': 'old' })
  await world.running({ ...app, 'answer.txt': 'new' })
  await world.ended(old)
  const host = `${(await world.find(old)).slug}--shop.apps.test`
  await Promise.all([world.deployments.wake(old), world.deployments.wake(old)])
  const kinds = new Set<string | undefined>()
  const before = world.ingress.tables.length
  await world.ended(old)
  for (const { routes } of world.ingress.tables.slice(before))
    kinds.add(routes.find(({ hosts }) => hosts.includes(host))?.target.kind)
  assert.deepEqual(
    [...kinds].filter(kind => kind !== 'sleeping'),
    ['instances'],
  )
  assert.equal(await world.fetch(host), 'old')
  assert.equal(await world.fetch(), 'new')
  const kindsOfWork = (
    await world.database.db.selectFrom('operation').select('kind').where('deployment_id', '=', old).execute()
  ).map(row => row.kind)
  assert.deepEqual(kindsOfWork.toSorted(), ['deploy', 'sleep', 'wake'])
})

test('one that was woken goes back to sleep when nobody visits it; the serving one stays awake', async () => {
  await using world = await World.start({ timing: { idleMs: 50 } })
  const old = await world.running({ ...app, 'answer.txt': 'old' })
  const serving = await world.running({ ...app, 'answer.txt': 'new' })
  await world.ended(old)
  await world.deployments.wake(old)
  const kindsOfWork = async () =>
    (
      await world.database.db
        .selectFrom('operation')
        .select('kind')
        .where('deployment_id', '=', old)
        .where('status', '=', 'SUCCEEDED')
        .orderBy('created_at')
        .execute()
    ).map(row => row.kind)
  await world.until(async () => (await kindsOfWork()).length === 4)
  assert.deepEqual(await kindsOfWork(), ['deploy', 'sleep', 'wake', 'sleep'])
  assert.equal((await world.find(old)).status, 'SLEEPING')
  assert.equal((await world.find(serving)).status, 'RUNNING')
})

test('rolling back is promoting an older one', async () => {
  await using world = await World.start()
  const old = await world.running({ ...app, 'answer.txt': 'old' })
  const latest = await world.running({ ...app, 'answer.txt': 'new' })
  await world.ended(old)
  await world.act(old, 'promote')
  assert.deepEqual(
    (await world.ended(old)).steps.map(step => step.name),
    ['start', 'health', 'promote'],
  )
  assert.equal(await world.fetch(), 'old')
  await world.ended(latest)
  assert.equal((await world.find(latest)).status, 'SLEEPING')
})

test('a slow older deploy does not replace a newer one', async () => {
  const gate = Promise.withResolvers<void>()
  await using world = await World.start({
    programs: {
      'slow.js': async ({ serve, signal }) => {
        await gate.promise
        await serve((_, response) => response.end('slow'))
        await new Promise(resolve => signal.addEventListener('abort', resolve))
        return 0
      },
    },
  })
  const slow = await world.deploy({ 'package.json': '{"scripts":{"start":"node slow.js"}}', 'slow.js': '' })
  await world.running(app)
  gate.resolve()
  assert.equal((await world.ended(slow)).steps.at(-1)?.status ?? '', 'SUCCEEDED')
  assert.equal((await world.find(slow)).status, 'SLEEPING')
  assert.equal(await world.fetch(), 'hello')
})

test('cancel ends a build at once and keeps nothing', async () => {
  await using world = await World.start()
  const id = await world.deploy({ 'package.json': '{"scripts":{"build":"hang","start":"node server.js"}}', ...app })
  await world.until(async () => (await world.log(id)).some(line => line.includes('npm run build')))
  await world.act(id, 'cancel')
  const operation = await world.ended(id)
  assert.equal(operation.status, 'CANCELLED')
  const { status, error_code } = await world.find(id)
  assert.deepEqual([status, error_code], ['FAILED', 'cancelled'])
  assert.deepEqual(await world.provider.list(), [])
})

test('destroying one that is being built ends the build', async () => {
  await using world = await World.start()
  const id = await world.deploy({ 'package.json': '{"scripts":{"build":"hang","start":"node server.js"}}', ...app })
  await world.until(async () => (await world.log(id)).some(line => line.includes('npm run build')))
  await world.act(id, 'destroy')
  await world.ended(id)
  assert.equal((await world.find(id)).status, 'DESTROYED')
  assert.deepEqual(await world.provider.list(), [])
})

test('destroying one at any moment of its deploy ends both operations', async () => {
  await using world = await World.start()
  const moments = ['Found build', '> npm run build']
  for (const moment of moments) {
    const id = await world.deploy({ 'package.json': '{"scripts":{"build":"hang","start":"node server.js"}}', ...app })
    await world.until(async () => (await world.log(id)).some(line => line.includes(moment)))
    await world.act(id, 'destroy')
    await world.ended(id)
    const outcomes = (await operations(world.database.db).latest(id, 10)).map(({ kind, status }) => `${kind} ${status}`)
    assert.deepEqual(outcomes, ['destroy SUCCEEDED', 'deploy CANCELLED'])
    assert.equal((await world.find(id)).status, 'DESTROYED')
  }
})

test('a build that takes too long is ended', async () => {
  await using world = await World.start({ timing: { buildTimeoutMs: 300 } })
  const id = await world.deploy({ 'package.json': '{"scripts":{"build":"hang","start":"node server.js"}}', ...app })
  await world.ended(id)
  assert.match((await world.find(id)).error_message ?? '', /took longer than/)
  assert.deepEqual(await world.provider.list(), [])
})

test('what crashes is started again', async () => {
  await using world = await World.start()
  const id = await world.running(app)
  const [first] = await world.provider.list()
  await kill(world, first?.id)
  await world.until(async () => {
    const [now] = await world.provider.list()
    return now !== undefined && now.id !== first?.id && (await world.fetch()) === 'hello'
  })
  assert.equal((await world.find(id)).status, 'RUNNING')
  const crashed = (await world.instances(id)).find(row => row.id === first?.id)
  assert.deepEqual([crashed?.status, crashed?.exit_code], ['FAILED', 0])
})

test('what keeps crashing has failed, with its last words', async () => {
  const bad = Promise.withResolvers<void>()
  let healthy = true
  await using world = await World.start({
    programs: {
      'moody.js': async ({ serve, stderr }) => {
        if (healthy) {
          await serve((_, response) => response.end('ok'))
          await bad.promise
        }
        stderr('Error: gone bad\n')
        return 7
      },
    },
  })
  const id = await world.running({ 'package.json': '{"scripts":{"start":"node moody.js"}}', 'moody.js': '' })
  healthy = false
  bad.resolve()
  await world.until(async () => (await world.find(id)).status === 'FAILED', 20_000)
  assert.match((await world.find(id)).error_message ?? '', /crashed 5 times[\s\S]*gone bad/)
  assert.equal(await world.fetch(), 'unavailable')
  assert.deepEqual(await world.provider.list(), [])
  // An order of a person begins a new count.
  await world.act(id, 'start')
  const operation = await world.ended(id)
  assert.equal(operation.steps.find(step => step.name === 'health')?.error?.code, 'start_failed')
})

test('only so many old deployments are kept, with their layers', async () => {
  await using world = await World.start({ retention: 1 })
  const ids: string[] = []
  for (const answer of ['a', 'b', 'c', 'd']) ids.push(await world.running({ ...app, 'answer.txt': answer }))
  const statuses = () => Promise.all(ids.map(async id => (await world.find(id)).status))
  await world.until(async () => (await statuses()).join() === 'DESTROYED,DESTROYED,SLEEPING,RUNNING')
})

async function kill(world: World, id: string | undefined): Promise<void> {
  const sandbox = await world.provider.get(id ?? '')
  await sandbox?.stop({ key: 'test', epoch: 1 }, { graceMs: 100 })
}
