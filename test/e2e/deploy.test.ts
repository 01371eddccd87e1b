import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { CodeRunner, repository } from '../coderunner.ts'

const example = (name: string) => join(repository, 'examples', name)

interface Deployment {
  id: string
  status: string
  serving: boolean
  url: string
  deploymentUrl: string
  error?: { code: string; message: string }
  steps: { name: string; status: string; durationMs?: number; error?: { code: string } }[]
  instances: { process: string; status: string }[]
}

describe('a folder becomes a URL', { concurrency: false }, () => {
  let coderunner: CodeRunner
  let folder: string

  before(async () => {
    coderunner = await CodeRunner.start()
    folder = await mkdtemp(join(tmpdir(), 'coderunner-app-'))
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
  const app = async (source: string, more: Record<string, string> = {}) => {
    const dir = await mkdtemp(join(folder, 'app-'))
    await writeFile(join(dir, 'server.js'), source)
    for (const [name, text] of Object.entries(more)) await writeFile(join(dir, name), text)
    return dir
  }
  const saying = (text: string) =>
    `console.log('${text} starts'); require('node:http').createServer((q, s) => s.end('${text}')).listen(process.env.PORT)`

  for (const [name, path] of [
    ['node-hello', '/'],
    ['express-hello', '/'],
    ['fastify-loopback', '/'],
    ['static-site', '/'],
  ] as const)
    test(`the example ${name} answers`, async () => {
      const url = await coderunner.deploy(example(name), name)
      assert.match(url, new RegExp(`^http://${name}\\.localhost:${coderunner.appsPort}$`))
      const answer = await coderunner.visit(url, path, { accept: 'text/html' })
      assert.equal(answer.status, 200, answer.body)
      const { status, serving, deploymentUrl, steps } = await newest(name)
      assert.deepEqual({ status, serving }, { status: 'RUNNING', serving: true })
      assert.ok(
        steps.every(step => ['SUCCEEDED', 'SKIPPED'].includes(step.status)),
        JSON.stringify(steps),
      )
      assert.equal((await coderunner.visit(deploymentUrl, path)).status, 200)
    })

  test('an application that listens elsewhere is found, and told so', async () => {
    const { items } = (await coderunner.api('GET', '/api/deployments?project=fastify-loopback')) as {
      items: { id: string }[]
    }
    const { records } = (await coderunner.api('GET', `/api/deployments/${items[0]?.id}/logs?source=system`)) as {
      records: { message: string }[]
    }
    assert.match(records.map(record => record.message).join('\n'), /127\.0\.0\.1/)
    assert.match(records.map(record => record.message).join('\n'), /4000/)
  })

  test('a redeploy loses no request; the one before sleeps and wakes', async () => {
    const url = await coderunner.deploy(await app(saying('one')), 'swap')
    const first = await newest('swap')
    const answers = new Map<string, number>()
    const stop = new AbortController()
    const visitors = Array.from({ length: 4 }, async () => {
      while (!stop.signal.aborted) {
        const { status, body } = await coderunner.visit(url)
        const key = `${status} ${body.slice(0, 80)}`
        answers.set(key, (answers.get(key) ?? 0) + 1)
      }
    })
    await coderunner.deploy(await app(saying('two')), 'swap')
    await coderunner.visit(url)
    stop.abort()
    await Promise.all(visitors)
    assert.deepEqual([...answers.keys()].toSorted(), ['200 one', '200 two'], JSON.stringify([...answers]))
    assert.equal((await coderunner.visit(url)).body, 'two')
    assert.equal((await coderunner.visit(first.deploymentUrl)).body, 'one')

    const rollback = await coderunner.cli(['rollback', '--project', 'swap'])
    assert.equal(rollback.code, 0, rollback.stderr)
    assert.equal((await coderunner.visit(url)).body, 'one')
  })

  test('a failed deploy says why and leaves the serving one alone', async () => {
    const url = await coderunner.deploy(await app(saying('good')), 'careful')
    const bad = await app("console.error('no database here'); process.exit(3)")
    const { code, stdout, stderr } = await coderunner.cli(['deploy', bad, '--project', 'careful'])
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /no database here/)
    assert.equal((await newest('careful')).status, 'FAILED')
    assert.equal((await coderunner.visit(url)).body, 'good')
  })

  test('a failing build names the step and shows the lines that matter', async () => {
    const dir = await app(saying('never'), {
      'package.json': JSON.stringify({ name: 'x', scripts: { build: 'node build.js', start: 'node server.js' } }),
      'build.js': "console.error('cannot find the moon'); process.exit(1)",
    })
    const { code, stderr } = await coderunner.cli(['deploy', dir, '--project', 'unbuilt'])
    assert.equal(code, 1)
    assert.match(stderr, /build/)
    assert.match(stderr, /cannot find the moon/)
    const { status, error } = await newest('unbuilt')
    assert.deepEqual([status, error?.code], ['FAILED', 'build_failed'])
  })

  test('logs of build and run are there, by count and by cursor', async () => {
    const { stdout, code } = await coderunner.cli(['logs', '--project', 'swap', '-n', '50'])
    assert.equal(code, 0)
    assert.match(stdout, /two starts/)
    const build = await coderunner.cli(['logs', '--project', 'express-hello', '--build'])
    assert.match(build.stdout, /npm|added/)
  })

  test('a one-off command runs beside the application and passes its exit code on', async () => {
    const { code, stdout, stderr } = await coderunner.cli([
      'run',
      '--project',
      'swap',
      '--',
      'node',
      '-e',
      'console.log(process.cwd()); console.error("to stderr"); process.exit(7)',
    ])
    assert.equal(code, 7, stderr)
    assert.match(stdout, /\/app/)
    assert.match(stderr, /to stderr/)
  })

  test('environment variables reach the application', async () => {
    const dir = await app(
      "require('node:http').createServer((q, s) => s.end(process.env.GREETING)).listen(process.env.PORT)",
    )
    const url = await coderunner.deploy(dir, 'greeting', '--env', 'GREETING=well met')
    assert.equal((await coderunner.visit(url)).body, 'well met')
  })

  test('WebSockets and streams pass through', async () => {
    const dir = await mkdtemp(join(folder, 'socket-'))
    await cp(join(repository, 'node_modules/ws'), join(dir, 'vendor-ws'), { recursive: true })
    await writeFile(
      join(dir, 'server.js'),
      `const { WebSocketServer } = require('./vendor-ws')
       const server = require('node:http').createServer((q, s) => { s.write('first '); s.flushHeaders(); q.on('data', d => s.write(d)); q.on('end', () => s.end()) })
       new WebSocketServer({ server }).on('connection', socket => socket.on('message', m => socket.send('echo ' + m)))
       server.listen(process.env.PORT)`,
    )
    const url = await coderunner.deploy(dir, 'sockets')
    const { host } = new URL(url)
    const socket = new WebSocket(`ws://127.0.0.1:${coderunner.appsPort}/`, { headers: { host } })
    await once(socket, 'open')
    socket.send('hello')
    const [message] = (await once(socket, 'message')) as [Buffer]
    assert.equal(message.toString(), 'echo hello')
    socket.close()
    await once(socket, 'close')

    const req = request({
      host: '127.0.0.1',
      port: coderunner.appsPort,
      method: 'POST',
      headers: { host },
      agent: false,
    })
    req.flushHeaders()
    req.write('one ')
    const [response] = (await once(req, 'response')) as [IncomingMessage]
    let rest = ''
    // The rest is sent only when the beginning has come back: it would wait for ever behind a proxy that buffers.
    for await (const chunk of response) {
      rest += String(chunk)
      if (rest === 'first one ') req.end('two')
    }
    assert.equal(rest, 'first one two')
  })

  test('a tar.gz by curl is enough', async () => {
    const { execFileSync } = await import('node:child_process')
    const archive = execFileSync('tar', ['cz', '-C', await app(saying('curled')), '.'])
    const response = await fetch(`${coderunner.apiUrl}/api/deploy?project=curled`, {
      method: 'POST',
      headers: { authorization: `Bearer ${coderunner.token}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: archive,
    })
    assert.equal(response.status, 202)
    const { url } = (await response.json()) as { url: string }
    const { code } = await coderunner.cli(['deploy', await app(saying('curled again')), '--project', 'curled'])
    assert.equal(code, 0)
    assert.equal((await coderunner.visit(url)).body, 'curled again')
  })

  test('what a bad archive holds is said before anything is kept', async () => {
    const { pack } = await import('tar-stream')
    const { gzipSync } = await import('node:zlib')
    const { buffer } = await import('node:stream/consumers')
    const tar = pack()
    tar.entry({ name: '../escape.js' }, 'x')
    tar.finalize()
    const response = await fetch(`${coderunner.apiUrl}/api/deploy?project=escape`, {
      method: 'POST',
      headers: { authorization: `Bearer ${coderunner.token}`, 'content-type': 'application/gzip' },
      body: gzipSync(await buffer(tar)),
    })
    assert.equal(response.status, 400)
    const problem = (await response.json()) as { code: string; detail: string }
    assert.equal(problem.code, 'invalid_archive')
    assert.match(problem.detail, /\.\.\/escape\.js/)
  })

  test('the plan is told without anything being kept', async () => {
    const { code, stdout, stderr } = await coderunner.cli([
      'deploy',
      example('express-hello'),
      '--project',
      'planned',
      '--dry',
    ])
    assert.equal(code, 0, stderr)
    const { detection, steps } = JSON.parse(stdout) as { detection: { runtime: string }; steps: { name: string }[] }
    assert.equal(detection.runtime, 'nodejs')
    assert.deepEqual(
      steps.map(step => step.name),
      ['analyze', 'install', 'build', 'start', 'health', 'promote'],
    )
    const { items } = (await coderunner.api('GET', '/api/projects')) as { items: { name: string }[] }
    assert.ok(!items.some(project => project.name === 'planned'))
  })

  test('destroy takes everything of a project', async () => {
    const url = await coderunner.deploy(await app(saying('short-lived')), 'short-lived')
    assert.equal((await coderunner.cli(['destroy', '--project', 'short-lived'])).code, 2, 'asks for --yes')
    const { code, stderr } = await coderunner.cli(['destroy', '--project', 'short-lived', '--yes'])
    assert.equal(code, 0, stderr)
    assert.equal((await coderunner.visit(url)).status, 404)
  })

  test('what belongs to somebody else is not there', async () => {
    const stranger = await coderunner.register('stranger@example.org')
    const { id } = await newest('swap')
    for (const path of [`/api/deployments/${id}`, `/api/deployments/${id}/logs`]) {
      const response = await fetch(coderunner.apiUrl + path, { headers: { authorization: `Bearer ${stranger}` } })
      assert.equal(response.status, 404)
    }
  })
})
