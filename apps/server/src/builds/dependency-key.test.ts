import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idPattern } from '@coderunner/contract'
import type { SourceEntry } from '../sources/source-tree.ts'
import type { DependencyRecipe } from './build-recipe.ts'
import { dependencyLayerId, type InstallInputs, installFiles } from './dependency-key.ts'
import { nodeRecipe } from './node-recipe.ts'

const file = (path: string, content = path): SourceEntry => ({
  path,
  hash: content.padEnd(64, '0'),
  size: 1,
  executable: false,
})
const dependencies: DependencyRecipe = {
  files: ['package.json', 'package-lock.json', '.npmrc', 'patches/express.patch', 'packages/a/package.json'],
  install: [{ argv: ['npm', 'ci'], env: { CI: 'true' } }],
  key: ['npm'],
}
const inputs: InstallInputs = {
  projectId: 'p'.repeat(20),
  tree: [file('package.json'), file('package-lock.json'), file('server.js'), file('packages/a/package.json')],
  dependencies,
  software: { nodeVersion: '24.21.0' },
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
  assert.equal(
    key({ tree: [...inputs.tree.slice(0, 2), file('server.js', 'other'), file('packages/a/package.json')] }),
    key(),
  )
})

const changes: Record<string, Partial<InstallInputs>> = {
  project: { projectId: 'q'.repeat(20) },
  lock: { tree: [file('package.json'), file('package-lock.json', 'other'), file('packages/a/package.json')] },
  'package.json of a workspace': { tree: [...inputs.tree.slice(0, 3), file('packages/a/package.json', 'other')] },
  npmrc: { tree: [...inputs.tree, file('.npmrc')] },
  patches: { tree: [...inputs.tree, file('patches/express.patch')] },
  command: { dependencies: { ...dependencies, install: [{ argv: ['npm', 'install'], env: { CI: 'true' } }] } },
  'setting of the command': { dependencies: { ...dependencies, install: [{ argv: ['npm', 'ci'], env: { CI: '' } }] } },
  node: { software: { nodeVersion: '24.22.0' } },
  architecture: { architecture: 'arm64' },
  template: { template: 'other' },
  'package manager': { software: { nodeVersion: '24.21.0', packageManager: { name: 'npm', version: '11.0.0' } } },
  'word of the recipe': { dependencies: { ...dependencies, key: ['pnpm'] } },
  environment: { environment: { npm_config_registry: 'https://elsewhere/' } },
}
for (const [what, change] of Object.entries(changes))
  test(`another ${what}, another key`, () => assert.notEqual(key(change), key()))

test('a manifest counts by what the install sees of it', () => {
  const replaced = (text: string) => ({ dependencies: { ...dependencies, replace: { 'package.json': text } } })
  const other = [file('package.json', 'other'), ...inputs.tree.slice(1)]
  assert.equal(key({ ...replaced('{}'), tree: other }), key(replaced('{}')))
  assert.notEqual(key(replaced('{"a":1}')), key(replaced('{}')))
})

/** The recipe and the key of a project, from its files. */
async function keyOf(files: Record<string, string>): Promise<string> {
  const tree = Object.entries(files).map(([path, content]) => file(path, Buffer.from(content).toString('hex')))
  const detection = {
    runtime: 'nodejs' as const,
    packageManager: 'npm',
    install: 'npm ci',
    nodeVersion: '24.21.0',
    processes: [],
    findings: [],
    warnings: [],
  }
  const recipe = await nodeRecipe(detection, tree, async path => files[path])
  return dependencyLayerId({
    ...inputs,
    tree,
    software: recipe.software,
    dependencies: recipe.dependencies ?? dependencies,
  })
}

test('an unchanged lock file keeps the key; settings, patches and local packages change it', async () => {
  const project = {
    'package.json': '{"dependencies":{"express":"5","own":"file:./vendor/own"},"scripts":{"start":"node a.js"}}',
    'package-lock.json': '{}',
    '.npmrc': '',
    'patches/express.patch': 'a',
    'vendor/own/package.json': '{}',
    'vendor/own/index.js': 'a',
    'a.js': 'a',
  }
  const first = await keyOf(project)
  assert.equal(await keyOf({ ...project, 'a.js': 'b', 'README.md': 'x' }), first)
  assert.equal(await keyOf({ ...project, 'package.json': project['package.json'].replace('a.js', 'b.js') }), first)
  for (const [path, content] of [
    ['package-lock.json', '{"a":1}'],
    ['package.json', '{"dependencies":{"express":"4"}}'],
    ['.npmrc', 'legacy-peer-deps=true'],
    ['patches/express.patch', 'b'],
    ['vendor/own/index.js', 'b'],
  ] as const)
    assert.notEqual(await keyOf({ ...project, [path]: content }), first, path)
})

test('an install sees manifests and nothing else', () => {
  const tree = [file('a/package.json'), file('package-lock.json'), file('x.js'), file('a/.npmrc')]
  const files = ['a/package.json', 'package-lock.json', 'a/.npmrc', 'not-there']
  assert.deepEqual(
    installFiles(tree, { files }).map(entry => entry.path),
    ['a/package.json', 'package-lock.json', 'a/.npmrc'],
  )
})
