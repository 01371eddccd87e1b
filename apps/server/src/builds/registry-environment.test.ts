import assert from 'node:assert/strict'
import { test } from 'node:test'
import { registryOf } from './node-manifests.ts'
import { registryEnvironment } from './registry-environment.ts'

test('every package manager is told of the machine’s registry', () => {
  const machine = {
    npm_config_registry: 'http://npm.example.com/',
    HTTPS_PROXY: 'http://proxy/',
    npm_config_cafile: '/ca',
  }
  const env = registryEnvironment(machine)
  assert.deepEqual({ ...env, ...machine }, env)
  assert.equal(env['YARN_NPM_REGISTRY_SERVER'], 'http://npm.example.com')
  assert.equal(env['YARN_UNSAFE_HTTP_WHITELIST'], 'npm.example.com')
  assert.equal(env['BUN_CONFIG_REGISTRY'], 'http://npm.example.com/')
  assert.equal(env['YARN_HTTPS_PROXY'], 'http://proxy/')
  assert.deepEqual(registryEnvironment({}), {})
})

test('the project’s own registry is found in whichever settings it has', async () => {
  const of = (files: Record<string, string>) => registryOf({ read: async path => files[path] })
  assert.equal(await of({ '.npmrc': 'fund=false\nregistry = "https://a.example.com/"\n' }), 'https://a.example.com/')
  assert.equal(await of({ '.yarnrc.yml': 'npmRegistryServer: "https://b.example.com"\n' }), 'https://b.example.com')
  assert.equal(await of({ 'bunfig.toml': '[install]\nregistry = "https://c.example.com"\n' }), 'https://c.example.com')
  assert.equal(await of({ '.npmrc': '@x:registry=https://d.example.com/\n' }), undefined)
})
