import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { NotSupportedError } from '../errors.ts'
import { type ConformanceWorld, isNotSupported, run, skip } from './world.ts'

export function processTests(world: () => ConformanceWorld): void {
  suite('processes', () => {
    test('output, exit codes, arguments as they are', async () => {
      const sandbox = await world().create()
      const echoed = await run(sandbox, ['echo', 'a b', '$HOME', '*'])
      assert.deepEqual(echoed, { stdout: 'a b $HOME *\n', stderr: '', pty: '', exit: { code: 0, timedOut: false } })
      assert.equal((await run(sandbox, ['sh', '-c', 'exit 3'])).exit.code, 3)
      assert.deepEqual((await run(sandbox, ['sh', '-c', 'echo out; echo err >&2'])).stderr, 'err\n')
      await assert.rejects(sandbox.run({ argv: ['no-such-program'] }), { code: 'invalid_request' })
      await assert.rejects(sandbox.run({ argv: [] }), { code: 'invalid_request' })
      await assert.rejects(sandbox.run({ argv: ['echo'], cwd: 'no/such/directory' }), { code: 'invalid_request' })
    })

    test('environment and directory', async () => {
      const sandbox = await world().create({ env: { FROM_SPEC: 'spec', BOTH: 'spec' } })
      const { appDir } = await sandbox.info()
      const said = await run(sandbox, ['sh', '-c', 'echo $FROM_SPEC $BOTH $OWN'], { env: { OWN: 'own', BOTH: 'own' } })
      assert.equal(said.stdout, 'spec own own\n')
      assert.equal((await run(sandbox, ['sh', '-c', 'pwd'])).stdout, `${appDir}\n`)
      await sandbox.files.makeDir('deep/down')
      assert.equal((await run(sandbox, ['sh', '-c', 'pwd'], { cwd: 'deep/down' })).stdout, `${appDir}/deep/down\n`)
    })

    test('stdin', async () => {
      const sandbox = await world().create()
      const cat = await sandbox.run({ argv: ['cat'], stdin: 'pipe' })
      await cat.write(Buffer.from('first '))
      await cat.write(Buffer.from('second'))
      await cat.closeStdin()
      let said = ''
      for await (const { data } of cat.output()) said += data.toString()
      assert.equal(said, 'first second')
      assert.equal((await cat.exit).code, 0)
      assert.equal((await run(sandbox, ['cat'])).stdout, '', 'without a pipe there is nothing to read')
    })

    test('signals and the time limit reach descendants', async () => {
      const sandbox = await world().create()
      const killed = await sandbox.run({ argv: world().programs.stubborn })
      for await (const { data } of killed.output()) if (data.toString().includes('ready')) break
      await killed.kill('SIGTERM')
      await killed.kill('SIGKILL')
      assert.deepEqual(await killed.exit, { code: 137, signal: 'SIGKILL', timedOut: false })
      const late = await run(sandbox, world().programs.stubborn, { timeoutMs: 1000 })
      assert.deepEqual(late.exit, { code: 137, signal: 'SIGKILL', timedOut: true })
      const family = await run(sandbox, world().programs.family, { timeoutMs: 500 })
      assert.equal(family.stdout, 'begun\n')
      assert.equal(family.exit.timedOut, true, 'a child that holds the pipes does not hold up the end')
    })

    test('users', async t => {
      const { isolation } = world().provider.capabilities
      if (!isolation) return skip(t, 'no isolation: there is one account only')
      const sandbox = await world().create()
      assert.equal((await run(sandbox, ['sh', '-c', 'echo $(id -u) $USER $HOME'])).stdout, '1000 user /home/user\n')
      const root = await run(sandbox, ['id', '-u'], { user: 'root' }).catch((error: unknown) => error)
      if (root instanceof NotSupportedError) t.diagnostic('runs nothing as root')
      else assert.equal((root as { stdout: string }).stdout, '0\n')
    })

    test('terminals', async t => {
      const sandbox = await world().create()
      try {
        const process = await sandbox.run({ argv: ['sh', '-c', 'read line; stty size'], pty: { cols: 80, rows: 24 } })
        await process.resize({ cols: 101, rows: 33 })
        await process.write(Buffer.from('\n'))
        let said = ''
        for await (const { data } of process.output()) said += data.toString()
        assert.match(said, /33 101/)
        assert.equal((await process.exit).code, 0)
      } catch (error) {
        if (!isNotSupported(error)) throw error
        skip(t, 'no terminals')
      }
    })

    test('much output, read slowly, all of it', async () => {
      const sandbox = await world().create()
      await sandbox.files.write('big', Buffer.alloc(3_000_000, 'x'))
      const process = await sandbox.run({ argv: ['cat', 'big'] })
      let bytes = 0
      for await (const { data } of process.output()) {
        bytes += data.length
        await new Promise(setImmediate)
      }
      assert.equal(bytes, 3_000_000)
      const unread = await sandbox.run({ argv: ['cat', 'big'] })
      assert.equal((await unread.exit).code, 0, 'nobody has to read')
    })
  })
}
