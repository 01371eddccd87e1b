import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { NodeVersions } from './node-versions.ts'
import { PackageVersions } from './package-versions.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cr-versions-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const nodePackage = `node-linux-${process.arch}`
const document = (versions: string[], latest?: string, deprecated: string[] = []) => ({
  'dist-tags': latest === undefined ? {} : { latest },
  versions: Object.fromEntries(
    versions.map(version => [version, deprecated.includes(version) ? { deprecated: 'no' } : {}]),
  ),
})

async function registry(packages: Record<string, unknown>) {
  const asked: string[] = []
  const answer: RequestListener = (request, response) => {
    const name = decodeURIComponent((request.url ?? '').slice('/npm/'.length))
    asked.push(`${name} ${request.headers.accept}`)
    const found = packages[name]
    response.writeHead(found === undefined ? 404 : 200).end(JSON.stringify(found))
  }
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    asked,
    environment: { npm_config_registry: `http://127.0.0.1:${port}/npm` },
    [Symbol.asyncDispose]: async () => {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

const published = ['18.20.8', '20.9.0', '20.20.2', '22.23.3', '23.11.1', '24.21.0', '25.9.0', '26.10.0', '27.0.0-rc.1']
const open = (environment: Record<string, string>, limits = {}) =>
  PackageVersions.open({ environment, directory: join(directory, 'kept'), limits })

test('ranges and aliases of Node become the newest version, with long-term support where there is a choice', async () => {
  await using source = await registry({ [nodePackage]: document(published, '26.10.0') })
  await using packages = await open(source.environment)
  const at = (date: string) => new NodeVersions({ packages, present: [], now: () => new Date(date) })
  const versions = at('2026-08-01')
  const expected: Record<string, string | undefined> = {
    '20.x': '20.20.2',
    v20: '20.20.2',
    '20.9.0': '20.9.0',
    '>=18 <21': '20.20.2',
    '>=18': '24.21.0',
    '*': '24.21.0',
    '23 || 25': '25.9.0',
    '>=25': '26.10.0',
    'lts/*': '24.21.0',
    'lts/iron': '20.20.2',
    node: '26.10.0',
    '19.x': undefined,
    'not a range': undefined,
  }
  for (const [range, version] of Object.entries(expected)) assert.equal(await versions.resolve(range), version, range)
  assert.equal(await at('2026-11-01').resolve('>=18'), '26.10.0')
  assert.deepEqual(source.asked, [`${nodePackage} application/vnd.npm.install-v1+json`])
})

test('the list is kept for a day, also over a restart, and longer when the registry is away', async () => {
  const source = await registry({ [nodePackage]: document(['20.1.0']) })
  for (let n = 0; n < 2; n++) {
    await using packages = await open(source.environment)
    assert.deepEqual(await packages.published(nodePackage), { versions: ['20.1.0'], deprecated: [] })
  }
  assert.equal(source.asked.length, 1)
  {
    await using old = await open(source.environment, { keptMs: 0 })
    await old.published(nodePackage)
    assert.equal(source.asked.length, 2)
  }
  await source[Symbol.asyncDispose]()
  await using packages = await open(source.environment, { keptMs: 0 })
  assert.deepEqual(await packages.published(nodePackage), { versions: ['20.1.0'], deprecated: [] })
})

test('without a registry what the machine has is enough, and else it says so', async () => {
  const source = await registry({})
  await using packages = await open(source.environment)
  const versions = new NodeVersions({ packages, present: ['24.21.0'] })
  assert.equal(await versions.resolve('>=20'), '24.21.0')
  await assert.rejects(versions.resolve('20.x'), { code: 'unavailable' })
  await source[Symbol.asyncDispose]()
})

test('an answer without end is not read to its end', async () => {
  await using source = await registry({ big: document([`1.0.0-${'x'.repeat(5000)}`]) })
  await using packages = await open(source.environment, { bytes: 1000 })
  await assert.rejects(packages.published('big'), { code: 'unavailable' })
})

test('package managers: what their authors recommend, and nothing they advise against where there is a choice', async () => {
  await using source = await registry({
    pnpm: document(['8.15.8', '8.15.9', '9.15.9', '10.1.0', '10.2.0', '11.0.0-alpha.1'], '10.1.0', [
      '8.15.9',
      '9.15.9',
    ]),
    '@yarnpkg/cli-dist': document(['3.8.7', '4.9.2']),
  })
  await using packages = await open(source.environment)
  assert.equal(await packages.resolve('pnpm', '>=8'), '10.1.0')
  assert.equal(await packages.resolve('pnpm', '^8'), '8.15.8')
  assert.equal(await packages.resolve('pnpm', '^9'), '9.15.9')
  assert.equal(await packages.resolve('pnpm', '^11'), undefined)
  assert.equal(await packages.resolve('@yarnpkg/cli-dist', '^4.0.0'), '4.9.2')
})
