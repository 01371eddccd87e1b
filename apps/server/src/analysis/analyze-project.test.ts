import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Wishes } from './analysis-context.ts'
import { analyzeProject } from './analyze-project.ts'
import { argvOf, plainWords } from './command-line.ts'
import { parsePackageJson, withoutScripts } from './package-json.ts'
import { projectFiles } from './project-files.ts'
import { publishedVersions } from './test-versions.ts'

function analyze(contents: Record<string, string | object>, wishes: Wishes = {}) {
  const text = (path: string) => {
    const content = contents[path] ?? ''
    return Buffer.from(typeof content === 'string' ? content : JSON.stringify(content))
  }
  return analyzeProject(
    projectFiles(Object.keys(contents), async path => text(path)),
    wishes,
    publishedVersions,
  )
}

const starts: [string, Record<string, string | object>, string][] = [
  [
    'a plain start script runs without npm',
    { 'package.json': { scripts: { start: 'node server.js --x' } }, 'server.js': '' },
    'node server.js --x',
  ],
  [
    'an assignment before it stays plain',
    { 'package.json': { scripts: { start: 'NODE_ENV=production node a.js' } }, 'a.js': '' },
    'NODE_ENV=production node a.js',
  ],
  ['another program goes through npm', { 'package.json': { scripts: { start: 'next start' } } }, 'npm start'],
  ['shell syntax goes through npm', { 'package.json': { scripts: { start: 'node a.js && node b.js' } } }, 'npm start'],
  ['variables go through npm', { 'package.json': { scripts: { start: 'node a.js $PORT' } } }, 'npm start'],
  ['a prestart script keeps npm', { 'package.json': { scripts: { prestart: 'x', start: 'node a.js' } } }, 'npm start'],
  [
    'start comes before main',
    { 'package.json': { main: 'm.js', scripts: { start: 'node s.js' } }, 'm.js': '', 's.js': '' },
    'node s.js',
  ],
  [
    'main comes before server.js',
    { 'package.json': { main: './lib/m' }, 'lib/m.js': '', 'server.js': '' },
    'node lib/m.js',
  ],
  ['main may be a folder', { 'package.json': { main: 'lib/' }, 'lib/index.js': '' }, 'node lib/index.js'],
  [
    'a main that is not there is passed over',
    { 'package.json': { main: 'index.js' }, 'server.js': '' },
    'node server.js',
  ],
  ['server.js comes before index.js', { 'package.json': {}, 'server.js': '', 'index.js': '' }, 'node server.js'],
  ['no package.json is needed', { 'index.js': '' }, 'node index.js'],
  ['server.js beside a page is a server', { 'index.html': '', 'server.js': '' }, 'node server.js'],
]
for (const [what, contents, command] of starts)
  test(what, async () => {
    const detection = await analyze(contents)
    assert.equal(detection.runtime, 'nodejs')
    assert.deepEqual(detection.processes, [{ type: 'web', command, count: 1 }])
    assert.ok(detection.findings.every(({ what, why }) => what !== '' && why !== ''))
  })

test('what was asked for comes first', async () => {
  const contents = { 'package.json': { scripts: { start: 'node a.js' } }, 'index.html': '', 'a.js': '' }
  const started = await analyze(contents, { start: 'node b.js | cat', port: 8080 })
  assert.deepEqual([started.processes[0]?.command, started.port], ['node b.js | cat', 8080])
  const site = await analyze(contents, { runtime: 'static' })
  assert.deepEqual([site.runtime, site.root, site.processes], ['static', '.', []])
  const page = await analyze({ 'index.html': '', 'index.js': '' }, { runtime: 'nodejs' })
  assert.equal(page.processes[0]?.command, 'node index.js')
})

test('static sites and their root', async () => {
  assert.equal((await analyze({ 'index.html': '', 'index.js': '' })).root, '.')
  assert.equal((await analyze({ 'index.html': '', 'public/logo.svg': '' })).root, '.')
  assert.equal((await analyze({ 'public/index.html': '', 'index.html': '' })).root, 'public')
  assert.equal((await analyze({ 'public/a.txt': '', 'README.md': '' })).root, 'public')
  assert.equal(
    (await analyze({ 'package.json': { devDependencies: { prettier: '3' } }, 'index.html': '' })).runtime,
    'static',
  )
})

test('install and build', async () => {
  const install = async (json: object, ...files: string[]) =>
    (await analyze({ 'package.json': json, 'server.js': '', ...Object.fromEntries(files.map(file => [file, ''])) }))
      .install
  assert.equal(await install({}), undefined)
  assert.equal(await install({ devDependencies: { a: '1' } }), undefined)
  assert.equal(await install({ dependencies: { a: '1' } }), 'npm install --omit=dev')
  assert.equal(await install({ dependencies: { a: '1' } }, 'package-lock.json'), 'npm ci --omit=dev')
  assert.equal(await install({ devDependencies: { a: '1' }, scripts: { build: 'a' } }, 'package-lock.json'), 'npm ci')
  assert.equal(await install({ devDependencies: { a: '1' }, scripts: { prepare: 'a' } }), 'npm install')
  const built = await analyze({ 'package.json': { scripts: { build: 'tsc', start: 'node dist/a.js' } } })
  assert.equal(built.build, 'npm run build')
  assert.deepEqual(built.warnings, [])
})

test('warns of what does not fit', async () => {
  const { warnings } = await analyze({
    'package.json': { packageManager: 'pnpm@9.1.0', dependencies: { a: '1' }, scripts: { start: 'node gone.js' } },
    'yarn.lock': '',
  })
  for (const pattern of [/yarn\.lock is not read: pnpm installs/, /gone\.js, which is not among/, /no pnpm-lock\.yaml/])
    assert.ok(
      warnings.some(warning => pattern.test(warning)),
      String(pattern),
    )
})

test('nothing to run says what was looked for and what is there', async () => {
  await assert.rejects(analyze({ 'main.rs': '', 'src/a.c': '' }), {
    code: 'nothing_to_run',
    message: /Looked for a start script .*server\.js.*index\.html.*\nFound: main\.rs {2}src\//s,
  })
  await assert.rejects(analyze({}), { code: 'nothing_to_run', message: /no files at all/ })
  await assert.rejects(analyze({ 'package.json': { scripts: { build: 'make' } } }), {
    code: 'nothing_to_run',
    message: /build script but nothing to start/,
  })
  await assert.rejects(analyze({ 'api/package.json': '{}', 'web/index.html': '' }), {
    message: /There is a project in api, web: deploy it with --directory api/,
  })
})

test('a broken package.json is told with the place', async () => {
  const cases: [string, RegExp][] = [
    ['{\n  "name": "x",\n}', /line 3, column 1: }/],
    ['{\n  "name": x\n}', /line 2, column 11: "name": x/],
    ['{"a": [1, 2}', /line 1, column 12/],
    ['{"a": 1', /line 1, column 8/],
    ['', /line 1, column 1/],
    ['[]', /not an object/],
  ]
  for (const [text, message] of cases)
    await assert.rejects(analyze({ 'package.json': text }), { code: 'build_failed', message }, text)
  assert.deepEqual(parsePackageJson('{"scripts": "no", "main": 3, "engines": []}').scripts, {})
  assert.equal((await analyze({ 'package.json': '\uFEFF{}', 'server.js': '' })).runtime, 'nodejs')
})

test('words and shells', () => {
  assert.deepEqual(plainWords(`node "a b.js" 'c' d`), ['node', 'a b.js', 'c', 'd'])
  for (const command of ['a && b', 'a | b', 'a > b', 'a $B', 'a `b`', 'a *', 'a;b', "a 'b", 'a # b', '~/a', '', 'a"b"'])
    assert.equal(plainWords(command), undefined, command)
  assert.deepEqual(argvOf('A=b node c'), ['env', 'A=b', 'node', 'c'])
  assert.deepEqual(argvOf('a && b'), ['sh', '-c', 'a && b'])
})

test('the install sees no scripts of the project', () => {
  const json = JSON.parse(withoutScripts('{"name":"x","scripts":{"postinstall":"a","build":"c"},"dependencies":{}}'))
  assert.deepEqual(json, { name: 'x', dependencies: {} })
})
