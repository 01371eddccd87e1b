import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CodeRunner, repository } from '../coderunner.ts'

interface Deployment {
  id: string
  error?: { message: string }
  steps: { name: string; status: string }[]
  detection: { runtime: string; nodeVersion?: string; packageManager?: string; framework?: string }
}

/** Deploys what is in `examples/` and what people have besides, each for what is its own. */
describe('any Node project runs', { concurrency: false }, () => {
  let coderunner: CodeRunner
  let folder: string

  before(async () => {
    coderunner = await CodeRunner.start()
    folder = await mkdtemp(join(tmpdir(), 'coderunner-family-'))
  })
  after(async () => {
    await coderunner[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const newest = async (project: string): Promise<Deployment> => {
    const { items } = (await coderunner.api('GET', `/api/deployments?project=${project}`)) as {
      items: { id: string }[]
    }
    return (await coderunner.api('GET', `/api/deployments/${items[0]?.id ?? ''}`)) as Deployment
  }
  const statuses = ({ steps }: Deployment) => Object.fromEntries(steps.map(({ name, status }) => [name, status]))
  const app = async (files: Record<string, string>) => {
    const dir = await mkdtemp(join(folder, 'app-'))
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(dir, path, '..'), { recursive: true })
      await writeFile(join(dir, path), text)
    }
    return dir
  }

  for (const [name, expected, detected] of [
    ['typescript-plain', /^Hello from TypeScript at \//, { runtime: 'nodejs', packageManager: 'npm' }],
    ['workspaces', /^Hello from a workspace, a day is 86400000 ms/, { runtime: 'nodejs', packageManager: 'npm' }],
    ['pnpm-express', /^Hello from Express, installed by pnpm/, { runtime: 'nodejs', packageManager: 'pnpm' }],
    ['yarn-express', /^Hello from Express, installed by Yarn 1/, { runtime: 'nodejs', packageManager: 'yarn' }],
    ['yarn-berry', /^Hello from Polka, installed by Yarn 4/, { runtime: 'nodejs', packageManager: 'yarn' }],
    ['bun-hello', /^Hello from Bun, a day is 86400000 ms/, { runtime: 'nodejs', packageManager: 'bun' }],
    ['vite-react', /<title>React, built by Vite<\/title>/, { runtime: 'static', framework: 'Vite' }],
  ] as const)
    test(`the example ${name} answers`, async () => {
      const url = await coderunner.deploy(join(repository, 'examples', name), name)
      const answer = await coderunner.visit(url, '/', { accept: 'text/html' })
      assert.equal(answer.status, 200, answer.body)
      assert.match(answer.body, expected)
      const { detection } = await newest(name)
      assert.deepEqual({ ...detection, ...detected }, detection)
    })

  test('a site that was built answers unknown paths with its page, and its files with themselves', async () => {
    const { items } = (await coderunner.api('GET', '/api/projects')) as { items: { name: string; url: string }[] }
    const url = items.find(({ name }) => name === 'vite-react')?.url ?? ''
    const page = await coderunner.visit(url, '/some/where', { accept: 'text/html' })
    assert.equal(page.status, 200)
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(page.body)?.[1] ?? ''
    assert.match((await coderunner.visit(url, script)).body, /Hello from/)
    assert.equal((await newest('vite-react')).detection.runtime, 'static')
  })

  test('an unchanged lock file installs nothing; changed settings or patches do', async () => {
    const source = join(repository, 'examples/workspaces')
    const dir = join(folder, 'settings')
    await cp(source, dir, { recursive: true })
    await coderunner.deploy(dir, 'settings')
    const redeploy = async () => {
      await coderunner.deploy(dir, 'settings')
      return statuses(await newest('settings'))['install']
    }
    const server = join(dir, 'apps/web/server.js')
    await writeFile(server, `${await readFile(server, 'utf8')}// changed\n`)
    assert.equal(await redeploy(), 'SKIPPED')
    await writeFile(join(dir, '.npmrc'), 'fund=false\n')
    assert.equal(await redeploy(), 'SUCCEEDED')
    await mkdir(join(dir, 'patches'))
    await writeFile(join(dir, 'patches/ms+2.1.3.patch'), '')
    assert.equal(await redeploy(), 'SUCCEEDED')
    assert.equal(await redeploy(), 'SKIPPED')
  })

  test('a lock file that does not fit package.json is told, and the project runs', async () => {
    const dir = join(folder, 'behind')
    await cp(join(repository, 'examples/workspaces'), dir, { recursive: true })
    const manifest = join(dir, 'apps/web/package.json')
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('"ms": "2.1.3"', '"ms": "2.1.2"'))
    const url = await coderunner.deploy(dir, 'behind')
    assert.match((await coderunner.visit(url)).body, /a day is 86400000 ms/)
    const { stdout } = await coderunner.cli(['logs', '--project', 'behind', '--build'])
    assert.match(stdout, /lock file does not fit package\.json/)
  })

  test('the project’s own scripts run over its source, the version of Node is its own', async () => {
    const dir = await app({
      'package.json': JSON.stringify({
        name: 'scripts',
        engines: { node: '20.x' },
        scripts: { postinstall: 'node made.js postinstall', build: 'node made.js build', start: 'node server.js' },
      }),
      'made.js': "require('node:fs').appendFileSync('made.txt', process.argv[2] + ' ')",
      'server.js':
        "require('node:http').createServer((q, s) => s.end(require('node:fs').readFileSync('made.txt') + process.version)).listen(process.env.PORT)",
    })
    const url = await coderunner.deploy(dir, 'scripts')
    assert.match((await coderunner.visit(url)).body, /^postinstall build v20\./)
  })

  test('what cannot be installed is explained', async () => {
    const dir = await app({
      'package.json': JSON.stringify({ engines: { node: 'soon' }, scripts: { start: 'node a.js' } }),
      'a.js': '',
    })
    const { code, stderr } = await coderunner.cli(['deploy', dir, '--project', 'badly'])
    assert.equal(code, 1)
    assert.match(stderr, /“soon” \(engines\.node of package\.json\) is not a version range/)
  })

  test(`a build that puts nothing where its site should be says so`, async () => {
    const dir = await app({ 'coderunner.yaml': 'runtime: static\nroot: dist\nbuild: mkdir made\n' })
    const { code, stderr } = await coderunner.cli(['deploy', dir, '--project', 'empty'])
    assert.equal(code, 1)
    assert.match(stderr, /The build made nothing in dist.*Found:.*made\//s)
  })

  test('links of a built site lead nowhere outside it', async () => {
    const dir = await app({
      'coderunner.yaml':
        'runtime: static\nroot: out\nbuild: mkdir out && echo page > out/index.html && ln -s /etc/passwd out/passwd && ln -s ../coderunner.yaml out/up && ln -s index.html out/same.html\n',
    })
    const url = await coderunner.deploy(dir, 'links')
    assert.equal((await coderunner.visit(url, '/')).body, 'page\n')
    assert.equal((await coderunner.visit(url, '/same.html')).body, 'page\n')
    assert.equal((await coderunner.visit(url, '/passwd')).status, 404)
    assert.equal((await coderunner.visit(url, '/up')).status, 404)
  })
})
