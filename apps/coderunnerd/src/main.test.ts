import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { suite, test } from 'node:test'
import type { Status } from './supervisor.ts'

const main = join(import.meta.dirname, 'main.ts')
const skip = process.getuid?.() === 0 && process.platform === 'linux' ? false : 'needs root on Linux'

interface Running {
  process: ChildProcess
  status: Status
  errors: string[]
}

async function start(dataDir: string, onExit: 'keep' | 'stop'): Promise<Running> {
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      CODERUNNER_DATA_DIR: dataDir,
      CODERUNNER_PORT: '0',
      CODERUNNER_APPS_PORT: '0',
      CODERUNNER_ON_EXIT: onExit,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const errors: string[] = []
  createInterface({ input: child.stderr }).on('line', line => errors.push(line))
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('apps ')) continue
    const path = readdirSync('/run/coderunner')
      .map(name => join('/run/coderunner', name, 'status.json'))
      .find(path => existsSync(path) && readFileSync(path, 'utf8').includes(`"pid":${child.pid},`))
    assert.ok(path !== undefined)
    return { process: child, status: JSON.parse(readFileSync(path, 'utf8')) as Status, errors }
  }
  throw new Error(`coderunnerd did not start: ${errors.join('\n')}`)
}

/** Of processes whose parent is this one, by the program in their command line. */
function childOf(pid: number, program: string): number {
  for (const name of readdirSync('/proc')) {
    const read = (file: string): string => {
      try {
        return readFileSync(`/proc/${name}/${file}`, 'latin1')
      } catch {
        return ''
      }
    }
    if (!/^\d+$/.test(name) || !new RegExp(`^PPid:\t${pid}$`, 'm').test(read('status'))) continue
    if (read('cmdline').includes(program)) return Number(name)
  }
  throw new Error(`${program} does not run`)
}

const runs = (pid: number): boolean => existsSync(`/proc/${pid}/exe`)

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (await condition()) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`it never happened that ${what}`)
}

const answers = (url: string): Promise<boolean> =>
  fetch(`${url}/health`).then(
    response => response.ok,
    () => false,
  )

suite('coderunnerd', { skip, timeout: 300_000 }, () => {
  test('runs everything, mends what dies, takes over what it left, and takes all down', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'crd-'))
    const dataDir = join(directory, 'data')
    try {
      const first = await start(dataDir, 'keep')
      const { apiUrl, instance } = first.status
      const pid = first.process.pid as number
      assert.equal(await answers(apiUrl), true)
      const server = childOf(pid, 'server/src/main.ts')
      const ingress = childOf(pid, 'ingress/src/main.ts')
      const postgres = childOf(pid, 'bin/postgres')

      process.kill(server, 'SIGKILL')
      await until(() => !runs(server), 'the server died')
      await until(() => answers(apiUrl), 'another server answered on the same port')
      assert.deepEqual(first.errors, ['server ended (SIGKILL); it is started again in 0.1 s'])
      const secondServer = childOf(pid, 'server/src/main.ts')

      first.process.kill('SIGKILL')
      await once(first.process, 'exit')
      await until(() => !runs(secondServer) && !runs(ingress), 'the children ended with coderunnerd')
      assert.ok(runs(postgres))

      const second = await start(dataDir, 'stop')
      assert.equal(second.status.instance, instance)
      assert.equal(await answers(second.status.apiUrl), true)
      assert.ok(runs(postgres))
      second.process.kill('SIGTERM')
      assert.deepEqual(await once(second.process, 'exit'), [0, null])
      assert.deepEqual(second.errors, ['stopping'])
      assert.equal(runs(postgres), false)
      assert.equal(existsSync(join('/run/coderunner', instance)), false)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  test('says what is wrong with the configuration and ends', async () => {
    const child = spawn(process.execPath, [main], {
      env: { CODERUNNER_PORT: 'x', CODERUNNER_ON_EXIT: 'perhaps' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    assert.deepEqual(await once(child, 'close'), [1, null])
    assert.match(errors, /CODERUNNER_PORT is “x”[\s\S]*CODERUNNER_ON_EXIT is “perhaps”/)
  })
})
