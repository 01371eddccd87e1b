import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Playbook } from './playbook.ts'

const shown = (playbook: Playbook) => playbook.steps.map(({ name, status }) => `${name} ${status}`)

test('a run from plan to end', () => {
  const playbook = new Playbook([])
  playbook.plan([{ name: 'analyze' }])
  playbook.begin('analyze')
  playbook.end('analyze', 'SUCCEEDED', 12.4)
  playbook.plan([{ name: 'discard', instanceIds: [] }, { name: 'install', skip: true }, { name: 'build' }])
  playbook.end('install', 'SKIPPED', 0)
  playbook.begin('build')
  assert.deepEqual(shown(playbook), ['analyze SUCCEEDED', 'install SKIPPED', 'build RUNNING'])
  assert.equal(playbook.steps[0]?.durationMs, 12)
  playbook.fail('build', { code: 'build_failed', message: 'no' }, 5)
  assert.deepEqual(playbook.steps.at(-1), {
    name: 'build',
    status: 'FAILED',
    durationMs: 5,
    error: { code: 'build_failed', message: 'no' },
  })
})

test('goes on with what an earlier run has written', () => {
  const recorded = [
    { name: 'analyze', status: 'SUCCEEDED' as const, durationMs: 1 },
    { name: 'build', status: 'RUNNING' as const },
    { name: 'start', status: 'PENDING' as const },
  ]
  const continued = new Playbook(recorded)
  continued.plan([{ name: 'start', instances: [] }, { name: 'health' }])
  assert.deepEqual(shown(continued), ['analyze SUCCEEDED', 'build SUCCEEDED', 'start PENDING', 'health PENDING'])
  const again = new Playbook(recorded)
  again.plan([{ name: 'build' }])
  assert.deepEqual(shown(again), ['analyze SUCCEEDED', 'build PENDING'])
})

test('what comes after a failure is skipped', () => {
  const playbook = new Playbook([])
  playbook.plan([{ name: 'start', instances: [] }, { name: 'health' }])
  playbook.begin('start')
  playbook.fail('start', { code: 'x', message: 'y' }, 1)
  assert.deepEqual(shown(playbook), ['start FAILED', 'health SKIPPED'])
})
