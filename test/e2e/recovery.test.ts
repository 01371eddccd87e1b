import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CodeRunner } from '../coderunner.ts'
import { children } from '../processes.ts'

interface Deployment {
  id: string
  status: string
  error?: { code: string; message: string }
}

describe('recovery', { concurrency: false }, () => {
  let coderunner: CodeRunner
  let folder: string
  before(async () => {
    coderunner = await CodeRunner.start({ CODERUNNER_ON_EXIT: 'keep' })
    folder = await mkdtemp(join(tmpdir(), 'coderunner-app-'))
    await writeFile(
      join(folder, 'server.js'),
      "require('node:http').createServer((q, s) => s.end('still here ' + process.pid)).listen(process.env.PORT)",
    )
  })
  after(async () => {
    await coderunner.stop()
    // The last one takes its sandboxes along.
    await coderunner.restartWith({ CODERUNNER_ON_EXIT: 'stop' })
    await coderunner[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const settled = async (project: string): Promise<Deployment[]> => {
    for (const signal = AbortSignal.timeout(90_000); ; signal.throwIfAborted()) {
      const { items } = (await coderunner.api('GET', `/api/deployments?project=${project}`)) as { items: Deployment[] }
      if (items.every(item => !['PENDING', 'PROVISIONING', 'BUILDING'].includes(item.status))) return items
      // Long poll on the log: it answers with the next thing that happens.
      await coderunner.api('GET', `/api/deployments/${items[0]?.id}/logs?cursor=999999999&waitMs=200`)
    }
  }
  const answers = async (url: string): Promise<string> => {
    const answer = await coderunner.visit(url)
    assert.equal(answer.status, 200, answer.body)
    return answer.body
  }

  test('applications go on while coderunnerd is killed and are adopted by the next', async () => {
    const url = await coderunner.deploy(folder, 'steady')
    const before = await answers(url)
    await coderunner.stop('SIGKILL')
    await coderunner.boot()
    assert.equal(await answers(url), before)
  })

  test('the ingress serves while the server is killed, and the server comes back by itself', async () => {
    const url = await coderunner.deploy(folder, 'fronted')
    const [server] = await children(coderunner.pid, 'apps/server/src/main')
    assert.ok(server !== undefined)
    process.kill(server, 'SIGKILL')
    await answers(url)
    for (const signal = AbortSignal.timeout(30_000); ; signal.throwIfAborted()) {
      const response = await fetch(`${coderunner.apiUrl}/health`).catch(() => undefined)
      if (response?.ok === true) break
    }
    await answers(url)
  })

  for (const at of ['analyze', 'install', 'build', 'start', 'health', 'promote'])
    test(`kill -9 of everything at the step ${at}: RUNNING and answering, or FAILED with its reason`, async () => {
      const dir = await mkdtemp(join(folder, 'deploy-'))
      await writeFile(
        join(dir, 'package.json'),
        JSON.stringify({
          name: 'x',
          scripts: { build: 'node -e 0', start: 'node server.js' },
          dependencies: { 'is-number': '7.0.0' },
        }),
      )
      await writeFile(
        join(dir, 'server.js'),
        "require('is-number'); require('node:http').createServer((q, s) => s.end('risen')).listen(process.env.PORT)",
      )
      const deploy = coderunner.cli(['deploy', dir, '--project', `killed-${at}`, '--detach'])
      const { code, stderr } = await deploy
      assert.equal(code, 0, stderr)
      for (const signal = AbortSignal.timeout(60_000); ; signal.throwIfAborted()) {
        const { items } = (await coderunner.api('GET', `/api/deployments?project=killed-${at}`)) as {
          items: Deployment[]
        }
        const deployment = (await coderunner.api('GET', `/api/deployments/${items[0]?.id}`)) as Deployment & {
          steps: { name: string; status: string }[]
        }
        const step = deployment.steps.find(s => s.name === at)
        if (step !== undefined && step.status !== 'PENDING') break
      }
      const everything = [coderunner.pid, ...(await children(coderunner.pid, ''))]
      for (const pid of everything) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It ended with its parent.
        }
      }
      await coderunner.gone()
      await coderunner.boot()
      const [deployment] = await settled(`killed-${at}`)
      assert.ok(deployment !== undefined)
      if (deployment.status === 'RUNNING')
        assert.equal(await answers(`http://killed-${at}.localhost:${coderunner.appsPort}`), 'risen')
      else assert.ok(deployment.status === 'FAILED' && deployment.error !== undefined, JSON.stringify(deployment))
    })
})
