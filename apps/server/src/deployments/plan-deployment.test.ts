import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Desired, type Observed, type ObservedInstance, planDeployment } from './plan-deployment.ts'

const early = new Date(1000)
const late = new Date(2000)
const node = (count = 1): Observed['detection'] => ({
  runtime: 'nodejs',
  install: 'npm ci',
  processes: [{ type: 'web', command: 'node a.js', count }],
})
const site: Observed['detection'] = { runtime: 'static', processes: [] }
const running: Desired = { state: 'running', promote: true }
const nothing: Observed = {
  detection: undefined,
  released: false,
  dependenciesReady: false,
  instances: [],
  serving: false,
}
const released = (...instances: ObservedInstance[]): Observed => ({
  ...nothing,
  detection: node(),
  released: true,
  instances,
})
let ids = 0
const instance = (change: Partial<ObservedInstance> = {}): ObservedInstance => ({
  id: `i${ids++}`,
  kind: 'instance',
  process: 'web',
  number: 1,
  row: 'RUNNING',
  sandbox: 'running',
  createdAt: late,
  ...change,
})
const plan = (desired: Desired, observed: Observed) => planDeployment(desired, observed).map(step => step.name)

test('a first deploy, before and after the analysis', () => {
  assert.deepEqual(plan(running, nothing), ['analyze'])
  assert.deepEqual(plan(running, { ...nothing, detection: node() }), ['install', 'build', 'start', 'health', 'promote'])
  assert.deepEqual(plan(running, { ...nothing, detection: site }), ['publish', 'promote'])
})

test('dependencies that are there, or not needed, are not installed', () => {
  const install = (observed: Partial<Observed>) =>
    planDeployment(running, { ...nothing, detection: node(), ...observed }).find(step => step.name === 'install')
  assert.deepEqual(install({}), { name: 'install', skip: false })
  assert.deepEqual(install({ dependenciesReady: true }), { name: 'install', skip: true })
  assert.deepEqual(install({ detection: { runtime: 'nodejs', processes: [] } }), { name: 'install', skip: true })
})

test('goes on from wherever it was cut off', () => {
  assert.deepEqual(plan(running, released()), ['start', 'health', 'promote'])
  assert.deepEqual(plan(running, released(instance({ row: 'STARTING' }))), ['health', 'promote'])
  assert.deepEqual(plan(running, released(instance())), ['promote'])
  assert.deepEqual(plan(running, { ...released(instance()), serving: true }), [])
  assert.deepEqual(plan({ ...running, promote: false }, released(instance())), [])
  assert.deepEqual(plan(running, { ...nothing, detection: site, released: true }), ['promote'])
})

test('leftovers are discarded first', () => {
  const leftovers = [
    instance({ row: 'CREATING', sandbox: 'absent' }),
    instance({ row: 'CREATING' }),
    instance({ kind: 'builder' }),
    instance({ row: 'stray' }),
    instance({ row: 'GONE' }),
    instance({ sandbox: 'exited' }),
    instance({ sandbox: 'absent' }),
    instance({ row: 'FAILED', sandbox: 'exited' }),
  ]
  for (const leftover of leftovers) {
    assert.deepEqual(planDeployment(running, released(leftover))[0], { name: 'discard', instanceIds: [leftover.id] })
    assert.deepEqual(plan({ ...running, state: 'stopped' }, released(leftover)), ['discard'])
  }
  const gone = [instance({ row: 'GONE', sandbox: 'absent' }), instance({ row: 'FAILED', sandbox: 'absent' })]
  assert.deepEqual(plan({ ...running, state: 'stopped' }, released(...gone)), [])
})

test('a release command runs once, before anything of the version starts', () => {
  const processes = [{ type: 'web', command: 'node server.js', count: 1 }]
  const detection = { runtime: 'nodejs' as const, processes, release: 'migrate' }
  const first = { ...nothing, detection, releasePending: true }
  assert.deepEqual(plan(running, first), ['install', 'build', 'release', 'start', 'health', 'promote'])
  assert.deepEqual(plan(running, { ...first, releasePending: false }), [
    'install',
    'build',
    'start',
    'health',
    'promote',
  ])
  assert.deepEqual(plan(running, { ...released(), detection }), ['start', 'health', 'promote'])
})

test('a restart has the new one answer before the old one goes', () => {
  const restart: Desired = { state: 'running', promote: false, replaceBefore: new Date(1500) }
  const old = instance({ createdAt: early })
  assert.deepEqual(plan(restart, released(old)), ['start', 'health', 'drain', 'stop'])
  assert.deepEqual(plan(restart, released(old, instance({ row: 'STARTING' }))), ['health', 'drain', 'stop'])
  assert.deepEqual(planDeployment(restart, released(old, instance())), [
    { name: 'drain', instanceIds: [old.id] },
    { name: 'stop', instanceIds: [old.id] },
  ])
  assert.deepEqual(plan(restart, released(instance({ ...old, row: 'DRAINING' }), instance())), ['drain', 'stop'])
  assert.deepEqual(plan(restart, released(instance())), [])
})

test('a failed restart keeps the one that answers', () => {
  const old = instance({ createdAt: early })
  const failed = instance({ row: 'FAILED', sandbox: 'running' })
  assert.deepEqual(planDeployment({ ...running, promote: false }, released(old, failed)), [
    { name: 'discard', instanceIds: [failed.id] },
  ])
  const unproven = instance({ row: 'STARTING' })
  assert.deepEqual(planDeployment({ ...running, promote: false }, released(old, unproven)), [
    { name: 'drain', instanceIds: [unproven.id] },
    { name: 'stop', instanceIds: [unproven.id] },
  ])
})

test('several of a process', () => {
  const observed = { ...released(instance(), instance({ number: 3 })), detection: node(3) }
  assert.deepEqual(planDeployment(running, observed)[0], {
    name: 'start',
    instances: [{ process: 'web', number: 2 }],
  })
  const surplus = instance({ number: 2 })
  assert.deepEqual(planDeployment({ ...running, promote: false }, released(instance(), surplus)), [
    { name: 'drain', instanceIds: [surplus.id] },
    { name: 'stop', instanceIds: [surplus.id] },
  ])
})

test('taking down and destroying', () => {
  for (const state of ['stopped', 'sleeping'] as const) {
    assert.deepEqual(plan({ state, promote: false }, released(instance())), ['drain', 'stop'])
    assert.deepEqual(plan({ state, promote: true }, released()), [])
    assert.deepEqual(plan({ state, promote: true }, nothing), [])
  }
  const destroyed: Desired = { state: 'destroyed', promote: true }
  assert.deepEqual(plan(destroyed, released(instance())), ['drain', 'stop', 'collect'])
  assert.deepEqual(plan(destroyed, nothing), ['collect'])
})
