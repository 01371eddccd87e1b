import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { api } from '@coderunner/contract'
import { labelOf } from '../builds/builder-sandbox.ts'
import { nodeRecipe } from '../builds/node-recipe.ts'
import type { Wishes } from './analysis-context.ts'
import { analyzeProject } from './analyze-project.ts'
import { isLockOutOfSync } from './package-manager-commands.ts'
import { projectFiles } from './project-files.ts'
import { publishedVersions } from './test-versions.ts'

type Files = Record<string, string | object>

function textsOf(contents: Files): Record<string, string> {
  return Object.fromEntries(
    Object.entries(contents).map(([path, content]) => [
      path,
      typeof content === 'string' ? content : JSON.stringify(content),
    ]),
  )
}

function analyze(contents: Files, wishes: Wishes = {}): Promise<api.Detection> {
  const texts = textsOf(contents)
  return analyzeProject(
    projectFiles(Object.keys(texts), async path => Buffer.from(texts[path] ?? '')),
    wishes,
    publishedVersions,
  )
}

async function recipe(contents: Files, wishes: Wishes = {}) {
  const texts = textsOf(contents)
  const tree = Object.keys(texts).map(path => ({ path, hash: '0'.repeat(64), size: 1, executable: false }))
  const { dependencies, build, prune, software } = await nodeRecipe(
    await analyze(contents, wishes),
    tree,
    async path => texts[path],
  )
  return { software, dependencies, build: build.map(labelOf), prune: prune.map(labelOf) }
}

const express = { dependencies: { express: '5' }, scripts: { start: 'node server.js' } }
const server = { 'server.js': '' }
const berryLock = '__metadata:\n  version: 8\n'

const managers: [string, Files, Partial<api.Detection>][] = [
  [
    'npm without a lock file',
    { 'package.json': express },
    { packageManager: 'npm', install: 'npm install --omit=dev' },
  ],
  ['npm', { 'package.json': express, 'package-lock.json': '{}' }, { install: 'npm ci --omit=dev' }],
  [
    'pnpm by its lock file',
    { 'package.json': express, 'pnpm-lock.yaml': "lockfileVersion: '9.0'\n" },
    { packageManager: 'pnpm', packageManagerVersion: '10.20.0', install: 'pnpm install --frozen-lockfile --prod' },
  ],
  [
    'the pnpm of an older lock file',
    { 'package.json': express, 'pnpm-lock.yaml': "lockfileVersion: '6.0'\n" },
    { packageManagerVersion: '8.15.9' },
  ],
  [
    'Yarn 1',
    { 'package.json': express, 'yarn.lock': '# yarn lockfile v1\n' },
    { packageManagerVersion: '1.22.22', install: 'yarn install --frozen-lockfile --production' },
  ],
  [
    'Yarn 4 by its lock file',
    { 'package.json': express, 'yarn.lock': berryLock },
    { packageManagerVersion: '4.10.3', install: 'yarn install --immutable' },
  ],
  [
    'Yarn 3 by the release in the tree',
    { 'package.json': express, 'yarn.lock': berryLock, '.yarnrc.yml': 'yarnPath: .yarn/releases/yarn-3.6.1.cjs\n' },
    { packageManagerVersion: '3.6.1' },
  ],
  [
    'Bun',
    { 'package.json': express, 'bun.lock': '{}' },
    { packageManager: 'bun', packageManagerVersion: '1.3.0', install: 'bun install --frozen-lockfile --production' },
  ],
  [
    'the field, with its hash',
    { 'package.json': { ...express, packageManager: 'pnpm@9.1.0+sha512.abc' }, 'pnpm-lock.yaml': '' },
    { packageManager: 'pnpm', packageManagerVersion: '9.1.0' },
  ],
  [
    'the field before a lock file',
    { 'package.json': { ...express, packageManager: 'yarn@1.22.19' }, 'package-lock.json': '{}' },
    { packageManager: 'yarn', packageManagerVersion: '1.22.19', install: 'yarn install --production' },
  ],
  [
    'engines, where nothing else says it',
    { 'package.json': { ...express, engines: { pnpm: '^8' } } },
    { packageManager: 'pnpm', packageManagerVersion: '8.15.9' },
  ],
]
for (const [what, contents, expected] of managers)
  test(`package manager: ${what}`, async () => {
    const detection = await analyze({ ...server, ...contents })
    assert.deepEqual({ ...detection, ...expected }, detection)
    assert.equal(detection.processes[0]?.command, 'node server.js')
  })

test('two lock files: one is named, and a contradiction refused', async () => {
  const npm = '{"packages":{"node_modules/express":{"version":"5.1.0"}}}'
  const yarn = (version: string) => `# yarn lockfile v1\n\nexpress@5:\n  version "${version}"\n`
  const files = { 'package.json': express, ...server, 'package-lock.json': npm }
  const agreed = await analyze({ ...files, 'yarn.lock': yarn('5.1.0') })
  assert.equal(agreed.packageManager, 'yarn')
  assert.match(agreed.warnings.join(), /package-lock\.json is not read: yarn\.lock is used/)
  await assert.rejects(analyze({ ...files, 'yarn.lock': yarn('4.18.2') }), {
    code: 'build_failed',
    message: /yarn\.lock has express 4\.18\.2 and package-lock\.json has express 5\.1\.0.*packageManager/,
  })
  const decided = { ...express, packageManager: 'npm@10.9.0' }
  const { packageManager, warnings } = await analyze({ ...files, 'package.json': decided, 'yarn.lock': yarn('4.18.2') })
  assert.equal(packageManager, 'npm')
  assert.match(warnings.join(), /yarn\.lock is not read: package-lock\.json is used/)
})

const nodeVersions: [string, Files, string][] = [
  ['none', {}, '24.21.0'],
  ['a range that the usual one fits', { 'package.json': { ...express, engines: { node: '>=18' } } }, '24.21.0'],
  ['engines', { 'package.json': { ...express, engines: { node: '20.x' } } }, '20.19.5'],
  ['engines before .nvmrc', { 'package.json': { ...express, engines: { node: '22' } }, '.nvmrc': '20' }, '22.20.0'],
  ['.nvmrc', { '.nvmrc': 'v20.19.5\n' }, '20.19.5'],
  ['a name in .nvmrc', { '.nvmrc': 'lts/iron' }, '20.19.5'],
  ['any in .nvmrc', { '.nvmrc': 'lts/*' }, '24.21.0'],
  ['.node-version', { '.node-version': '# ours\n22.11.0\n' }, '22.11.0'],
  ['.tool-versions', { '.tool-versions': 'python 3.12.1\nnodejs 18.20.8\n' }, '18.20.8'],
  ['mise.toml', { 'mise.toml': '[tools]\nnode = "20"\n' }, '20.19.5'],
  ['Volta', { 'package.json': { ...express, volta: { node: '22.11.0' } } }, '22.11.0'],
]
for (const [what, contents, version] of nodeVersions)
  test(`Node version: ${what}`, async () => {
    assert.equal((await analyze({ 'package.json': express, ...server, ...contents })).nodeVersion, version)
  })

test('a version of Node that is none is quoted', async () => {
  const asks = (node: string) => analyze({ 'package.json': { ...express, engines: { node } }, ...server })
  await assert.rejects(asks('newest please'), {
    message: /“newest please” \(engines\.node of package\.json\) is not a/,
  })
  await assert.rejects(asks('^99'), { message: /no version of Node that fits “\^99”/ })
  await assert.rejects(analyze({ ...server, '.nvmrc': 'lts/banana' }), { message: /“lts\/banana” \(\.nvmrc\)/ })
})

const typeScript: [string, Files, string][] = [
  ['index.ts', { 'package.json': {}, 'index.ts': '' }, 'node index.ts'],
  ['no package.json', { 'server.ts': '' }, 'node server.ts'],
  ['main', { 'package.json': { main: 'src/app.ts' }, 'src/app.ts': '' }, 'node src/app.ts'],
  ['tsx', { 'package.json': { devDependencies: { tsx: '4' } }, 'src/index.ts': '' }, 'node --import tsx src/index.ts'],
  ['Bun', { 'package.json': {}, 'bun.lock': '', 'index.ts': '' }, 'bun index.ts'],
  [
    'what the build makes',
    { 'package.json': { main: 'dist/a.js', scripts: { build: 'tsc' } }, 'src/a.ts': '' },
    'node dist/a.js',
  ],
]
for (const [what, contents, command] of typeScript)
  test(`TypeScript: ${what}`, async () => {
    assert.equal((await analyze(contents)).processes[0]?.command, command)
  })

test('an older Node does not strip types', async () => {
  const old = { 'package.json': { engines: { node: '20' } }, 'index.ts': '' }
  assert.match((await analyze(old)).warnings.join(), /Node 20\.19\.5 does not run index\.ts: add tsx/)
})

test('development dependencies are pruned after a build, unless something that runs is one', async () => {
  const json = { ...express, devDependencies: { typescript: '5' } }
  const built = {
    'package.json': { ...json, scripts: { build: 'tsc', start: 'node dist/a.js' } },
    'package-lock.json': '',
  }
  assert.deepEqual((await recipe(built)).prune, ['remove the development dependencies'])
  const runs = {
    'package.json': { ...json, devDependencies: { tsx: '4' }, scripts: { start: 'npm run go', go: 'tsx a.ts' } },
  }
  const kept = await recipe({ ...runs, 'pnpm-lock.yaml': '' })
  assert.deepEqual([kept.prune, kept.dependencies?.install[0]?.argv], [[], ['pnpm', 'install', '--frozen-lockfile']])
  const yarn = await recipe({
    ...built,
    'yarn.lock': berryLock,
    'package.json': { ...built['package.json'], packageManager: 'yarn@4.9.1' },
  })
  assert.deepEqual(yarn.prune, ['yarn workspaces focus --all --production'])
  assert.deepEqual(yarn.software, { nodeVersion: '24.21.0', packageManager: { name: 'yarn', version: '4.9.1' } })
})

test('a lock file that does not fit is installed without, and said', async () => {
  const { dependencies } = await recipe({ 'package.json': express, ...server, 'pnpm-lock.yaml': '' })
  const { fallback } = dependencies ?? {}
  assert.ok(fallback?.when([' ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with "frozen-lockfile"']))
  assert.ok(!fallback?.when([' ERR_PNPM_FETCH_404']))
  assert.deepEqual(fallback?.install[0]?.argv, ['pnpm', 'install', '--no-frozen-lockfile', '--prod'])
  assert.match(fallback?.warning ?? '', /Run pnpm install and commit/)
})

test('knows a lock file out of step', () => {
  const said = {
    npm: 'npm error code EUSAGE\nnpm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.',
    pnpm: ' ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with "frozen-lockfile"',
    yarn: '➤ YN0028: │ The lockfile would have been modified by this install, which is explicitly forbidden.',
    bun: 'error: lockfile had changes, but lockfile is frozen',
  } as const
  for (const [name, text] of Object.entries(said)) {
    assert.ok(isLockOutOfSync({ name: name as keyof typeof said }, text.split('\n')), name)
    assert.ok(!isLockOutOfSync({ name: name as keyof typeof said }, ['npm error code E404']))
  }
})

test('the hooks of Heroku', async () => {
  const scripts = {
    'heroku-prebuild': 'a',
    'heroku-postbuild': 'b',
    build: 'c',
    'heroku-cleanup': 'd',
    start: 'node server.js',
    postinstall: 'e',
  }
  const { build, prune } = await recipe({ 'package.json': { ...express, scripts }, ...server })
  assert.deepEqual(build, ['npm run heroku-prebuild', 'npm run postinstall', 'npm run heroku-postbuild'])
  assert.deepEqual(prune.at(-1), 'npm run heroku-cleanup')
})

test('a build that was asked for, or none', async () => {
  const json = { 'package.json': { ...express, scripts: { ...express.scripts, build: 'x' } }, ...server }
  assert.deepEqual((await recipe(json, { build: '' })).build, [])
  assert.deepEqual((await recipe(json, { build: 'make a && make b' })).build, ['make a', 'make b'])
  assert.deepEqual((await recipe(json, { build: 'make $A && make b' })).build, ['make $A && make b'])
})

test('variables that settings mention reach the install', async () => {
  const npmrc = '//npm.example.com/:_authToken=${NPM_TOKEN}\nregistry=https://npm.example.com/\n'
  const { dependencies } = await recipe({ 'package.json': express, ...server, '.npmrc': npmrc })
  assert.deepEqual(dependencies?.variables, ['NPM_TOKEN'])
  assert.equal(dependencies?.install[0]?.env?.['npm_config_registry'], 'https://npm.example.com/')
})

const workspace: Files = {
  'package.json': { private: true, workspaces: ['packages/*', 'apps/**', '!apps/old'] },
  'package-lock.json': '{}',
  'packages/ui/package.json': { name: '@x/ui', scripts: { build: 'tsc' } },
  'packages/lone/package.json': { name: 'lone', scripts: { build: 'tsc' } },
  'apps/web/package.json': {
    name: 'web',
    dependencies: { '@x/ui': '*' },
    scripts: { build: 'x', start: 'node server.js' },
  },
  'apps/web/server.js': '',
  'apps/old/package.json': { name: 'old', scripts: { start: 'node a.js' } },
}

test('workspaces: the one that starts, after those it needs', async () => {
  const detection = await analyze(workspace)
  assert.deepEqual(
    [detection.workspace, detection.install, detection.build, detection.processes[0]?.command],
    [
      'apps/web',
      'npm ci',
      'npm run build --workspace packages/ui && npm run build --workspace apps/web',
      'node server.js',
    ],
  )
  assert.equal((await recipe(workspace)).build.length, 2)
})

test('workspaces: several applications have to be chosen from', async () => {
  const two = {
    ...workspace,
    'apps/api/package.json': { name: 'api', scripts: { start: 'node a.js' } },
    'apps/api/a.js': '',
  }
  await assert.rejects(analyze(two), { code: 'nothing_to_run', message: /apps\/api, apps\/web.*--directory apps\/api/ })
  const api = await analyze(two, { directory: './apps/api/' })
  assert.deepEqual(
    [api.workspace, api.directory, api.build, api.processes[0]?.command],
    ['apps/api', undefined, undefined, 'node a.js'],
  )
})

test('workspaces: a start script of the root is the project', async () => {
  const root = { 'package.json': { workspaces: ['apps/*'], scripts: { build: 'b', start: 'npm start -w apps/web' } } }
  const detection = await analyze({ ...workspace, ...root })
  assert.deepEqual(
    [detection.workspace, detection.build, detection.processes[0]?.command],
    [undefined, 'npm run build', 'npm start'],
  )
})

test('workspaces: pnpm, Turborepo and Nx', async () => {
  const base = { ...workspace, 'package.json': { private: true, devDependencies: {} }, 'package-lock.json': '' }
  const pnpm = { ...base, 'pnpm-workspace.yaml': 'packages:\n  - "packages/*"\n  - apps/web\n', 'pnpm-lock.yaml': '' }
  assert.equal((await analyze({ ...pnpm })).build, 'pnpm --dir packages/ui run build && pnpm --dir apps/web run build')
  const turbo = { ...pnpm, 'package.json': { devDependencies: { turbo: '2' } } }
  assert.equal((await analyze(turbo)).build, 'pnpm exec turbo run build --filter=web')
  const nx = { ...workspace, 'package.json': { workspaces: ['*/*'], devDependencies: { nx: '21' } } }
  assert.equal((await analyze(nx, { directory: 'apps/web' })).build, 'npx --no-install nx run web:build')
})

test('a folder of the upload is a project of its own', async () => {
  const files = { 'README.md': '', 'api/package.json': express, 'api/server.js': '', 'package.json': '{broken' }
  const detection = await analyze(files, { directory: 'api' })
  assert.deepEqual(
    [detection.directory, detection.workspace, detection.processes[0]?.command],
    ['api', undefined, 'node server.js'],
  )
  await assert.rejects(analyze(files, { directory: 'web' }), { message: /no folder web.*api\// })
  await assert.rejects(analyze(files, { directory: '../x' }), { message: /no folder/ })
})

test('Python and Node side by side', async () => {
  const both = {
    'requirements.txt': 'flask',
    'app.py': 'from flask import Flask\napp = Flask(__name__)\n',
    'package.json': { scripts: { build: 'x' } },
  }
  assert.equal((await analyze(both)).runtime, 'python')
  const started = await analyze({ ...both, 'package.json': express, ...server })
  assert.equal(started.runtime, 'nodejs')
  assert.match(JSON.stringify(started.findings), /requirements\.txt beside it is left aside/)
  assert.equal(
    (await analyze({ ...both, 'package.json': express, ...server }, { runtime: 'python' })).runtime,
    'python',
  )
})

test('whatever else has a start command', async () => {
  const detection = await analyze({ 'main.sh': '' }, { start: 'sh main.sh', build: 'true' })
  assert.deepEqual(
    [detection.runtime, detection.build, detection.processes[0]?.command],
    ['command', 'true', 'sh main.sh'],
  )
})
