import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idPattern } from '@coderunner/contract'
import type { SourceEntry } from '../sources/source-tree.ts'
import { dependencyLayerId, type InstallInputs, installFiles } from './dependency-key.ts'

const file = (path: string, content = path): SourceEntry => ({ path, hash: content.padEnd(64, '0'), size: 1, executable: false })
const inputs: InstallInputs = {
  projectId: 'p'.repeat(20),
  tree: [file('package.json'), file('package-lock.json'), file('server.js'), file('packages/a/package.json')],
  command: 'npm ci',
  nodeVersion: '24.21.0',
  packageManager: 'npm',
  template: 'node',
  architecture: 'x64',
  environment: { npm_config_registry: 'https://npm.example.com/', HTTPS_PROXY: '' },
}
const key = (change: Partial<InstallInputs> = {}) => dependencyLayerId({ ...inputs, ...change })

test('it is a layer id, the same whatever the order', () => {
  assert.match(key(), idPattern)
  assert.equal(key({ tree: inputs.tree.toReversed() }), key())
  const { npm_config_registry, HTTPS_PROXY } = inputs.environment as Record<string, string>
  assert.equal(key({ environment: { HTTPS_PROXY, npm_config_registry } as Record<string, string> }), key())
})

test('the source is no part of it', () => {
  assert.equal(key({ tree: [...inputs.tree.slice(0, 2), file('server.js', 'other'), file('packages/a/package.json')] }), key())
})

const changes: Record<string, Partial<InstallInputs>> = {
  project: { projectId: 'q'.repeat(20) },
  lock: { tree: [file('package.json'), file('package-lock.json', 'other'), file('packages/a/package.json')] },
  'package.json of a workspace': { tree: [...inputs.tree.slice(0, 3), file('packages/a/package.json', 'other')] },
  npmrc: { tree: [...inputs.tree, file('.npmrc')] },
  patches: { tree: [...inputs.tree, file('patches/express.patch')] },
  command: { command: 'npm install' },
  node: { nodeVersion: '24.22.0' },
  architecture: { architecture: 'arm64' },
  template: { template: 'other' },
  'package manager': { packageManager: 'npm@11' },
  environment: { environment: { npm_config_registry: 'https://elsewhere/' } },
}
for (const [what, change] of Object.entries(changes)) test(`another ${what}, another key`, () => assert.notEqual(key(change), key()))

test('an install sees manifests and nothing else', () => {
  const tree = [file('a/package.json'), file('a/package-lock.json'), file('package-lock.json'), file('x.js'), file('a/.npmrc')]
  assert.deepEqual(installFiles(tree).map(entry => entry.path), ['a/package.json', 'package-lock.json', 'a/.npmrc'])
})
