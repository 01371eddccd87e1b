import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { CodeRunner, repository } from '../coderunner.ts'
import { GitServer } from '../git-server.ts'

const saying = (text: string) =>
  `console.log('${text} starts'); require('node:http').createServer((q, s) => s.end('${text} ' + (process.env.GREETING ?? ''))).listen(process.env.PORT)`

describe('where code comes from', { concurrency: false }, () => {
  let git: GitServer
  let coderunner: CodeRunner
  let folder: string

  before(async () => {
    git = await GitServer.start()
    coderunner = await CodeRunner.start({
      CODERUNNER_EGRESS_ALLOW: git.host,
      CODERUNNER_GIT_HTTP_HOSTS: git.host,
    })
    folder = await mkdtemp(join(tmpdir(), 'coderunner-sources-'))
  })
  after(async () => {
    await coderunner[Symbol.asyncDispose]()
    await git[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const app = async (files: Record<string, string>) => {
    const dir = await mkdtemp(join(folder, 'app-'))
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text)
    return dir
  }
  const said = async (url: string) => (await coderunner.visit(url)).body.trim()

  test('a zip file, with one folder around everything', async () => {
    const dir = await app({ 'server.js': saying('unzipped') })
    const zip = join(folder, 'code.zip')
    const program =
      'import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], "w") as z: z.write(sys.argv[2], "code-main/server.js")'
    execFileSync('python3', ['-c', program, zip, join(dir, 'server.js')])
    assert.equal(await said(await coderunner.deploy(zip, 'zipped')), 'unzipped')
    const tar = join(folder, 'code.tar.gz')
    execFileSync('tar', ['czf', tar, '-C', dir, '.'])
    assert.equal(await said(await coderunner.deploy(tar, 'tarred')), 'unzipped')
  })

  const fromGit = (project: string, ...args: string[]) => coderunner.cli(['deploy', '--project', project, ...args])

  test('a repository: its own branch, another one, a commit', async () => {
    const first = await git.commit('code.git', 'trunk', { 'server.js': saying('trunk') })
    await git.commit('code.git', 'topic/next', { 'server.js': saying('next') })
    const { code, stdout, stderr } = await fromGit('fetched', '--git', git.url('code.git'))
    assert.equal(code, 0, stderr)
    assert.match(stderr, /fetch/)
    assert.equal(await said(stdout.trim()), 'trunk')
    const next = await fromGit('fetched', '--git', git.url('code.git'), '--ref', 'topic/next')
    assert.equal(next.code, 0, next.stderr)
    assert.equal(await said(next.stdout.trim()), 'next')
    const commit = await fromGit('fetched', '--git', git.url('code.git'), '--ref', first)
    assert.equal(commit.code, 0, commit.stderr)
    assert.equal(await said(commit.stdout.trim()), 'trunk')
  })

  test('a private one wants a token, which nobody sees afterwards', async () => {
    await git.commit('private/code.git', 'main', { 'apps/web/server.js': saying('private'), 'README.md': '' })
    const without = await fromGit('private', '--git', git.url('private/code.git'))
    assert.equal(without.code, 1)
    assert.match(without.stderr, /private, or is not there/)
    const order = { url: git.url('private/code.git'), directory: 'apps/web', token: git.token }
    const { deploymentId, url } = (await coderunner.api('POST', '/api/deploy', { project: 'private', git: order })) as {
      deploymentId: string
      url: string
    }
    let deployment = (await coderunner.api('GET', `/api/deployments/${deploymentId}`)) as Deployment
    while (['PENDING', 'RUNNING'].includes(deployment.operations[0]?.status ?? 'PENDING'))
      deployment = (await coderunner.api(
        'GET',
        `/api/deployments/${deploymentId}?since=${deployment.revision}&waitMs=20000`,
      )) as Deployment
    assert.equal(deployment.status, 'RUNNING', JSON.stringify(deployment))
    assert.equal(await said(url), 'private')
    assert.ok(git.requests.some(({ authorization }) => authorization !== undefined))
    const log = await coderunner.api('GET', `/api/deployments/${deploymentId}/logs?lines=1000`)
    const seen = JSON.stringify([deployment, log]) + coderunner.stderr
    assert.ok(!seen.includes(git.token))
    assert.ok(!git.requests.some(({ url: asked }) => asked.includes(git.token)))
  })

  test('what could be an option, a path or another protocol never reaches git', async () => {
    for (const url of ['--upload-pack=id', 'ext::sh -c id', 'file:///etc', '/etc', 'http://127.0.0.1:1/x']) {
      const { code, stderr } = await coderunner.cli(['deploy', '--project', 'evil', `--git=${url}`])
      assert.equal(code, 1, url)
      assert.match(stderr, /URL of a repository|fetched by https/)
    }
    const { stderr } = await fromGit('evil', '--git', git.url('code.git'), '--ref=--upload-pack=id')
    assert.match(stderr, /not the name of a branch/)
    const missing = await fromGit('missing', '--git', git.url('code.git'), '--ref', 'nowhere')
    assert.match(missing.stderr, /has no branch, tag or commit \(nowhere\)/)
    // Links of a repository stay within it, as those of an upload.
    await git.commit('links.git', 'main', {
      'server.js': saying('x'),
      '.gitmodules': '[submodule "x"]\n path = x\n url = file:///etc\n',
    })
    assert.equal((await fromGit('links', '--git', git.url('links.git'))).code, 0)
  })

  test('.env stays at home unless it is imported', async () => {
    const dir = await app({ 'server.js': saying('env'), '.env': 'GREETING="from afar"\n' })
    const plain = await coderunner.cli(['deploy', dir, '--project', 'env'])
    assert.match(plain.stderr, /--import-env/)
    assert.equal(await said(plain.stdout.trim()), 'env')
    const imported = await coderunner.cli(['deploy', dir, '--project', 'env', '--import-env'])
    assert.match(imported.stderr, /From \.env: GREETING/)
    assert.doesNotMatch(imported.stderr, /afar/)
    assert.equal(await said(imported.stdout.trim()), 'env from afar')
  })

  test('init writes what was found, and deploys the same', async () => {
    const dir = await app({ 'server.js': saying('described') })
    const made = await coderunner.cli(['init', dir])
    assert.equal(made.code, 0, made.stderr)
    const text = await readFile(join(dir, 'coderunner.yaml'), 'utf8')
    assert.match(text, /^runtime: nodejs/m)
    assert.match(text, /^start: node server\.js/m)
    assert.equal((await coderunner.cli(['init', dir])).code, 1)
    assert.equal((await coderunner.cli(['init', dir, '--yes'])).code, 0)
    assert.equal(await said(await coderunner.deploy(dir, 'described')), 'described')
  })

  test('dev: what is saved goes live, what is broken does not', async () => {
    const dir = await app({ 'server.js': saying('zero'), '.gitignore': '*.log' })
    await mkdir(join(dir, 'node_modules'))
    await using dev = new Dev(coderunner, dir)
    assert.equal((await dev.round()).status, 'live')
    const { url } = dev
    assert.equal(await said(url), 'zero')
    await writeFile(join(dir, 'server.js'), saying('one'))
    const live = await dev.round()
    assert.deepEqual([live.status, live.changed], ['live', ['server.js']])
    assert.equal(await said(url), 'one')
    await writeFile(join(dir, 'app.log'), 'x')
    await writeFile(join(dir, 'node_modules', 'x.js'), 'x')
    await writeFile(join(dir, 'server.js'), 'throw new Error("broken on purpose")')
    const failed = await dev.round()
    assert.deepEqual([failed.status, failed.changed], ['failed', ['server.js']])
    assert.match(failed.error?.message ?? '', /broken on purpose/)
    assert.equal(await said(url), 'one')
    await writeFile(join(dir, 'server.js'), saying('two'))
    await mkdir(join(dir, 'lib'))
    await writeFile(join(dir, 'lib', 'x.js'), '')
    // What was written between two looks may come as a round of its own.
    while ((await dev.round()).status !== 'live' || (await said(url)) !== 'two');
    assert.equal(await dev.interrupt(), 130)
    assert.equal(await said(url), 'two')
    assert.ok(dev.logged.some(line => line.includes('two starts')))
  })
})

interface Deployment {
  status: string
  revision: string
  operations: { status: string }[]
}

interface Round {
  status: string
  changed: string[]
  error?: { code: string; message: string }
}

class Dev implements AsyncDisposable {
  url = ''
  readonly logged: string[] = []
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(coderunner: CodeRunner, dir: string) {
    const args = [join(repository, 'apps/cli/bin/coderunner.js'), 'dev', dir, '--project', 'dev', '--json']
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, CODERUNNER_URL: coderunner.apiUrl, CODERUNNER_TOKEN: coderunner.token, NO_COLOR: '1' },
    })
    this.#child = child
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  async round(): Promise<Round> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done === true) throw new Error('dev has ended')
      const document = JSON.parse(value) as Partial<Round> & { url?: string; message?: string }
      if (document.url !== undefined) this.url = document.url
      else if (document.message !== undefined) this.logged.push(document.message)
      else if (this.url === '') {
        // The URL follows the first round.
        const next = await this.#lines.next()
        this.url = (JSON.parse(String(next.value)) as { url: string }).url
        return document as Round
      } else return document as Round
    }
  }

  async interrupt(): Promise<number> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGINT')
    return ((await ended) as [number])[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL')
  }
}
