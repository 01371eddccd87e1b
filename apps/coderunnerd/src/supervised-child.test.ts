import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { BoundedLog } from './bounded-log.ts'
import { type Announcement, ChildFailedError, SupervisedChild } from './supervised-child.ts'

const announce = (port: number): string => `
  const { closeSync, writeSync } = await import('node:fs')
  writeSync(3, JSON.stringify({ ready: true, port: ${port} }) + '\\n')
  closeSync(3)
  process.stdin.resume()`

function run(program: string, lockFd: number): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', lockFd],
  })
}

suite('supervised child', { timeout: 60_000 }, () => {
  let directory: string
  let log: BoundedLog
  let reports: string[]

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'crchild-'))
    log = await BoundedLog.open(join(directory, 'child.log'))
    reports = []
  })
  afterEach(async () => {
    await log[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })

  test('is there when it says so, and ends when its stdin does', async () => {
    const child = await SupervisedChild.start({
      name: 'child',
      spawn: lockFd => run(announce(4711), lockFd),
      log,
      lockFile: join(directory, 'child.lock'),
      report: line => reports.push(line),
    })
    assert.deepEqual(child.announcement, { port: 4711 })
    await child.stop()
    assert.equal(child.pid, undefined)
    assert.deepEqual(reports, [])
  })

  test('is started again when it was killed, and told what it announced before', async () => {
    const told: (Announcement | undefined)[] = []
    const started: ChildProcess[] = []
    const again = Promise.withResolvers<ChildProcess>()
    await using child = await SupervisedChild.start({
      name: 'child',
      spawn: (lockFd, last) => {
        told.push(last)
        const process = run(announce(4711), lockFd)
        started.push(process)
        if (started.length === 2) again.resolve(process)
        return process
      },
      log,
      lockFile: join(directory, 'child.lock'),
      report: line => reports.push(line),
    })
    started[0]?.kill('SIGKILL')
    const second = await again.promise
    await once(second.stdio[3] as NodeJS.ReadableStream, 'close')
    assert.deepEqual(told, [undefined, { port: 4711 }])
    assert.deepEqual(reports, ['child ended (SIGKILL); it is started again in 0.1 s'])
    assert.equal(child.pid, second.pid)
  })

  test('says why it did not start', async () => {
    const failing = SupervisedChild.start({
      name: 'server',
      spawn: lockFd => run(`console.log('{"level":60,"msg":"port 3000 is taken"}'); process.exit(3)`, lockFd),
      log,
      lockFile: join(directory, 'child.lock'),
      report: line => reports.push(line),
    })
    await assert.rejects(failing, (error: unknown) => {
      assert.ok(error instanceof ChildFailedError)
      assert.equal(error.message, 'The server did not start (exit code 3).\nfatal: port 3000 is taken')
      return true
    })
  })

  test('is killed when it does not end by itself', async () => {
    const child = await SupervisedChild.start({
      name: 'child',
      spawn: lockFd =>
        run(
          `${announce(1)}; process.stdin.removeAllListeners(); process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)`,
          lockFd,
        ),
      log,
      lockFile: join(directory, 'child.lock'),
      report: line => reports.push(line),
      patienceMs: 300,
    })
    await child.stop()
    assert.equal(child.pid, undefined)
  })

  test('keeps what it says in its log, and shows warnings only', async () => {
    const child = await SupervisedChild.start({
      name: 'child',
      spawn: lockFd =>
        run(
          `${announce(1)}.on('end', () => {
            console.log(JSON.stringify({ level: 30, msg: 'usual' }))
            console.error(JSON.stringify({ level: 40, msg: 'careful\\u001b[2J', err: { message: 'why' } }))
            process.stderr.write('last words')
          })`,
          lockFd,
        ),
      log,
      lockFile: join(directory, 'child.lock'),
      report: line => reports.push(line),
    })
    await child.stop()
    assert.match(await readFile(join(directory, 'child.log'), 'utf8'), /usual/)
    assert.deepEqual(reports, ['child: warning: careful [2J: why', 'child: last words'])
  })

  test('does not outlive a supervisor that was killed, and its successor waits for it', async () => {
    const slow = `${announce(1)}.on('end', () => setTimeout(() => {}, 700))`
    const program = `
      import { spawn } from 'node:child_process'
      const { BoundedLog } = await import(${JSON.stringify(join(import.meta.dirname, 'bounded-log.ts'))})
      const { SupervisedChild } = await import(${JSON.stringify(join(import.meta.dirname, 'supervised-child.ts'))})
      const child = await SupervisedChild.start({
        name: 'child',
        spawn: lockFd => spawn(process.execPath, ['--input-type=module', '-e', ${JSON.stringify(slow)}], {
          stdio: ['pipe', 'pipe', 'pipe', 'pipe', lockFd],
          detached: true,
        }),
        log: await BoundedLog.open(${JSON.stringify(join(directory, 'other.log'))}),
        lockFile: ${JSON.stringify(join(directory, 'child.lock'))},
        report: () => {},
      })
      console.log(child.pid)`
    const supervisor = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(supervisor.stdout, 'data')) as [Buffer]
    const pid = Number(line.toString())
    assert.equal(isAlive(pid), true)
    supervisor.kill('SIGKILL')
    await once(supervisor, 'exit')
    assert.equal(isAlive(pid), true)
    let wasAlive = true
    await using successor = await SupervisedChild.start({
      name: 'child',
      spawn: lockFd => {
        wasAlive = isAlive(pid)
        return run(announce(2), lockFd)
      },
      log,
      lockFile: join(directory, 'child.lock'),
      report: line => reports.push(line),
    })
    assert.equal(wasAlive, false)
    assert.deepEqual(successor.announcement, { port: 2 })
  })
})

/** One that has ended and waits to be collected has no program any more. */
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/exe`)
