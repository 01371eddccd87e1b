import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RoutedDeployment, type RoutedProject, routesOf, targetOf } from './route-table.ts'

const domain = 'apps.test'
const project: RoutedProject = { id: 'p', name: 'shop', port: 20001, servingDeploymentId: 'new' }
const upstream = { instanceId: 'i', host: '10.0.0.2', port: 3000 }
const deployment = (change: Partial<RoutedDeployment> = {}): RoutedDeployment => ({
  id: 'new',
  projectId: 'p',
  slug: 'abc',
  status: 'RUNNING',
  desired: 'running',
  error: undefined,
  siteId: undefined,
  upstreams: [upstream],
  ...change,
})

test('the serving deployment has both names, the others their own', () => {
  const old = deployment({ id: 'old', slug: 'old', status: 'SLEEPING', upstreams: [] })
  const routes = routesOf([project], [old, deployment(), deployment({ id: 'gone', status: 'DESTROYED' })], domain)
  assert.deepEqual(routes, [
    { hosts: ['old--shop.apps.test'], project: 'shop', deploymentId: 'old', target: { kind: 'sleeping' } },
    {
      hosts: ['abc--shop.apps.test', 'shop.apps.test'],
      project: 'shop',
      deploymentId: 'new',
      target: { kind: 'instances', upstreams: [upstream] },
    },
  ])
})

test('without a domain the serving one has the project’s port', () => {
  const routes = routesOf([project], [deployment({ id: 'old' }), deployment()], undefined)
  assert.deepEqual(
    routes.map(({ hosts, port, deploymentId }) => ({ hosts, port, deploymentId })),
    [{ hosts: [], port: 20001, deploymentId: 'new' }],
  )
})

test('a project that nothing serves says why', () => {
  const code = (...deployments: RoutedDeployment[]) => {
    const routes = routesOf([{ ...project, servingDeploymentId: undefined }], deployments, domain)
    const { target } = routes.find(route => route.hosts.includes('shop.apps.test')) ?? assert.fail()
    return target.kind === 'unavailable' && target.code
  }
  assert.equal(code(), 'no_deployment')
  assert.equal(code(deployment({ status: 'BUILDING', upstreams: [] })), 'deploying')
  assert.equal(code(deployment({ status: 'PROVISIONING', upstreams: [] })), 'deploying')
  assert.equal(code(deployment({ status: 'FAILED', error: { code: 'build_failed', message: 'x\ny' } })), 'build_failed')
  assert.equal(code(deployment({ status: 'RUNNING' })), 'not_promoted')
})

const kinds: [string, Partial<RoutedDeployment>, string][] = [
  ['a sleeping one wakes', { status: 'SLEEPING', upstreams: [] }, 'sleeping'],
  ['a waking one is waited for', { status: 'PROVISIONING', upstreams: [] }, 'sleeping'],
  ['one that answers already is used', { status: 'PROVISIONING' }, 'instances'],
  ['one going to sleep is woken again', { desired: 'sleeping', upstreams: [] }, 'sleeping'],
  ['a site is served by the ingress', { siteId: 's', upstreams: [] }, 'static'],
  ['also while it sleeps', { siteId: 's', status: 'SLEEPING', upstreams: [] }, 'static'],
  ['a stopped one is not', { siteId: 's', status: 'STOPPED' }, 'unavailable'],
  ['one being stopped is not', { desired: 'stopped' }, 'unavailable'],
  ['one being destroyed is not', { desired: 'destroyed' }, 'unavailable'],
  ['a failed one is not', { status: 'FAILED' }, 'unavailable'],
  ['a crashed one is not', { upstreams: [] }, 'unavailable'],
  ['one being built is not', { status: 'BUILDING', upstreams: [] }, 'unavailable'],
]
for (const [what, change, kind] of kinds) test(what, () => assert.equal(targetOf(deployment(change)).kind, kind))
