import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pathOf, route, routes } from './routes.ts'

test('no route is listed twice', () => {
  const names = routes.map(({ method, path }) => `${method} ${path}`)
  assert.equal(new Set(names).size, names.length)
})

test('values are put into a path encoded, and never lead to another route', () => {
  assert.equal(pathOf(route.getDeployment, { id: 'a/b?c' }), '/api/deployments/a%2Fb%3Fc')
  for (const id of ['', '.', '..']) assert.throws(() => pathOf(route.getDeployment, { id }), TypeError)
  assert.throws(() => pathOf(route.getDeployment), TypeError)
})
