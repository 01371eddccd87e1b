import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test, { type TestContext } from 'node:test'
import { AppError, api, type LogRecord, newId } from '@coderunner/contract'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import { Compile } from 'typebox/compile'
import type { App } from '../http/app.ts'
import { sendProblem } from '../http/problem.ts'
import { compileValidator } from '../http/validation.ts'
import { logRoutes } from './log-routes.ts'
import { LogStore } from './log-store.ts'

const projectId = newId()
const deploymentId = newId()
const elsewhere = newId()

async function served(t: TestContext) {
  const directory = await mkdtemp(path.join(tmpdir(), 'logs-'))
  const logs = await LogStore.open({ directory })
  const app = Fastify().withTypeProvider<TypeBoxTypeProvider>() as unknown as App
  app.setValidatorCompiler(compileValidator as never)
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply))
  app.decorateRequest('principal', { getter: () => ({ userId: 'u' }) as never })
  logRoutes(app, {
    logs,
    access: {
      require: async (_, ref) => {
        if (ref.projectId !== projectId) throw new AppError('not_found', `no project ${ref.projectId}`)
      },
    },
    projectOf: async id =>
      new Map([
        [deploymentId, projectId],
        [elsewhere, newId()],
      ]).get(id),
  })
  t.after(async () => {
    await app.close()
    await logs[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })
  return { app, logs }
}

const entry = (message: string, more: Partial<LogRecord> = {}) => ({
  time: Date.now(),
  source: 'run' as const,
  deploymentId,
  instance: 'web.1',
  stream: 'stdout' as const,
  level: 'info' as const,
  message,
  ...more,
})
const page = Compile(api.LogPage)

test('answers a page of a deployment, and of the whole project', async t => {
  const { app, logs } = await served(t)
  await logs.append(projectId, [
    entry('one'),
    entry('two', { level: 'error' }),
    entry('other', { deploymentId: newId() }),
  ])
  const get = async (url: string) => page.Parse((await app.inject(url)).json())
  const whole = await get(`/api/deployments/${deploymentId}/logs`)
  assert.deepEqual(
    whole.records.map(record => record.message),
    ['one', 'two'],
  )
  assert.equal(whole.cursor, 3)
  assert.equal((await get(`/api/projects/${projectId}/logs`)).records.length, 3)
  const errors = await get(`/api/deployments/${deploymentId}/logs?level=warn&lines=5&text=TW`)
  assert.deepEqual(
    errors.records.map(record => record.message),
    ['two'],
  )
  const past = await get(`/api/deployments/${deploymentId}/logs?until=2020-01-01T00:00:00Z`)
  assert.deepEqual(past.records, [])
})

test('waits for the next record when asked to', async t => {
  const { app, logs } = await served(t)
  await logs.append(projectId, [entry('one')])
  const waiting = app.inject(`/api/deployments/${deploymentId}/logs?cursor=1&waitMs=10000`)
  await logs.append(projectId, [entry('two')])
  assert.deepEqual(
    page.Parse((await waiting).json()).records.map(record => record.message),
    ['two'],
  )
})

test('strangers learn nothing, and bad queries are refused', async t => {
  const { app } = await served(t)
  const detail = async (id: string) => {
    const response = await app.inject(`/api/deployments/${id}/logs`)
    assert.equal(response.statusCode, 404)
    return (response.json().detail as string).replace(id, 'ID')
  }
  assert.equal(await detail(elsewhere), await detail(newId()))
  assert.equal((await app.inject(`/api/projects/${elsewhere}/logs`)).statusCode, 404)
  for (const query of ['lines=0', 'level=loud', 'since=yesterday', 'waitMs=99999999'])
    assert.equal((await app.inject(`/api/projects/${projectId}/logs?${query}`)).statusCode, 400, query)
})
