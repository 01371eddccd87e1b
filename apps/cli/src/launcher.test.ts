/** The executable itself, under this Node and under the machine's own where that is too old for TypeScript. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const program = fileURLToPath(new URL('../bin/coderunner.js', import.meta.url))

/** This Node, and the first one on the PATH when it is another. */
async function nodes(): Promise<string[]> {
  const found = await promisify(execFile)('node', ['--version']).catch(() => undefined)
  return found === undefined || found.stdout.trim() === process.version
    ? [process.execPath]
    : [process.execPath, 'node']
}

async function environment(t: TestContext): Promise<NodeJS.ProcessEnv> {
  const home = await mkdtemp(join(tmpdir(), 'coderunner-home-'))
  t.after(() => rm(home, { recursive: true }))
  return { PATH: process.env['PATH'], HOME: home, CODERUNNER_TOKEN: 'token' }
}

function run(node: string, args: string[], env: NodeJS.ProcessEnv) {
  return new Promise<{ code: number; stdout: string; stderr: string }>(resolve => {
    execFile(node, [program, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    )
  })
}

test('the version, the help and usage errors have their streams and exit codes', async t => {
  const env = await environment(t)
  for (const node of await nodes()) {
    assert.deepEqual(await run(node, ['--version'], env), { code: 0, stdout: '0.1.0\n', stderr: '' })
    const help = await run(node, ['deploy', '-h'], env)
    assert.deepEqual([help.code, help.stderr], [0, ''])
    assert.match(help.stdout, /^Usage: coderunner deploy \[DIR\] --project NAME/m)
    const unknown = await run(node, ['frob', '--json'], env)
    assert.equal(unknown.code, 2)
    assert.match(unknown.stderr, /^Error: There is no command “frob”/)
    assert.equal((JSON.parse(unknown.stdout) as { error: { code: string } }).error.code, 'usage')
    assert.equal((await run(node, [], env)).code, 2)
  }
})

test('a script that names no project is told so, and nothing is asked of a server', async t => {
  const env = { ...(await environment(t)), CODERUNNER_URL: 'http://127.0.0.1:1' }
  const { code, stdout, stderr } = await run(process.execPath, ['deploy'], env)
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /--project NAME/)
})

test('Ctrl-C ends a waiting command with 130', async t => {
  const env = await environment(t)
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const node of await nodes()) {
    const child = spawn(node, [program, 'whoami'], { env: { ...env, CODERUNNER_URL: url }, stdio: 'ignore' })
    await once(server, 'request')
    child.kill('SIGINT')
    assert.deepEqual(await once(child, 'exit'), [130, null])
  }
})
