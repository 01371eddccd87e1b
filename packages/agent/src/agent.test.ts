import assert from 'node:assert/strict'
import { lstat, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { FileNotFoundError, type ProcessSpec } from '@coderunner/runtime'
import type { AgentClient } from './agent-client.ts'
import { TestAgent } from './test-agent.ts'

const root = process.getuid?.() === 0
for (const user of root ? (['self', 'user'] as const) : (['self'] as const)) {
  suite(`agent that runs programs as ${user}`, () => {
    test('starts programs and tells their output and end', async t => {
      await using agent = await TestAgent.start(user)
      t.diagnostic(`socket after ${agent.bootMs.toFixed(0)} ms`)
      const { client } = agent
      assert.deepEqual(await run(client, ['sh', '-c', 'echo out; echo err >&2; exit 3']), {
        stdout: 'out\n',
        stderr: 'err\n',
        exit: { code: 3, timedOut: false },
      })
      const env = await run(client, ['sh', '-c', 'echo $GREETING $NAME $HOME $USER $(pwd) $(id -u) $CR_AGENT_SOCKET'], {
        env: { NAME: 'you' },
      })
      const [home, uid] = user === 'user' ? ['/home/user', '1000'] : [agent.directory, String(process.getuid?.())]
      const name = user === 'user' ? 'user' : env.stdout.split(' ')[3]
      assert.equal(env.stdout, `hello you ${home} ${name} ${agent.appDir} ${uid}\n`)
      await assert.rejects(run(client, ['no-such-program']), { code: 'invalid_request', message: /no-such-program/ })
      await assert.rejects(run(client, ['true'], { cwd: 'missing' }), { code: 'invalid_request' })
      const asRoot = run(client, ['id', '-u'], { user: 'root' })
      if (user === 'user') assert.equal((await asRoot).stdout, '0\n')
      else await assert.rejects(asRoot, { code: 'not_supported' })
      assert.deepEqual(await client.processes(), [])
    })

    test('passes stdin on, whole and in order', async () => {
      await using agent = await TestAgent.start(user)
      const process = await agent.client.run({ argv: ['sha256sum'], stdin: 'pipe' })
      const writes = Array.from({ length: 20 }, (_, n) => process.write(Buffer.alloc(100_000, n)))
      await Promise.all([...writes, process.closeStdin()])
      const all = await run(agent.client, ['sh', '-c', 'echo no stdin; cat'])
      assert.equal(all.stdout, 'no stdin\n')
      let sum = ''
      for await (const event of process.output()) sum += event.data.toString()
      const { createHash } = await import('node:crypto')
      const expected = createHash('sha256')
      for (let n = 0; n < 20; n++) expected.update(Buffer.alloc(100_000, n))
      assert.equal(sum, `${expected.digest('hex')}  -\n`)
      await assert.rejects(process.write(Buffer.from('late')), { code: 'not_found' })
    })

    test('kills descendants by signal and by timeout', async () => {
      await using agent = await TestAgent.start(user)
      const { client } = agent
      const late = await run(client, ['sh', '-c', 'sleep 61 & sleep 61 & wait'], { timeoutMs: 200 })
      assert.deepEqual(late.exit, { code: 137, signal: 'SIGKILL', timedOut: true })
      const killed = await client.run({ argv: ['sh', '-c', 'sleep 62 & wait'] })
      await killed.kill('SIGTERM')
      assert.deepEqual(await killed.exit, { code: 143, signal: 'SIGTERM', timedOut: false })
      assert.equal((await run(client, ['pgrep', '-f', '^sleep 6[12]$'])).stdout, '')
    })

    test('ends with the program, though something in the background holds the pipes', async () => {
      await using agent = await TestAgent.start(user)
      const left = await run(agent.client, ['sh', '-c', 'sleep 63 & echo $!'])
      assert.equal(left.exit.code, 0)
      await run(agent.client, ['kill', left.stdout.trim()])
    })

    test('a slow reader slows the program, a reader that left does not, the exit alone can be waited for', async () => {
      await using agent = await TestAgent.start(user)
      const { client } = agent
      const flood = ['node', '-e', 'for (let n = 0; n < 20000; n++) console.log(String(n).padEnd(1000))']
      const slow = await client.run({ argv: flood, env: { PATH: nodePath } })
      await delay(500)
      assert.equal((await client.processes()).length, 1, 'it waits')
      let bytes = 0
      for await (const event of slow.output()) bytes += event.data.length
      assert.equal(bytes, 20_000 * 1001)
      const left = await client.run({ argv: flood, env: { PATH: nodePath } })
      for await (const event of left.output()) {
        assert.equal(event.stream, 'stdout')
        break
      }
      assert.equal((await left.exit).code, 0)
      assert.equal((await (await client.run({ argv: flood, env: { PATH: nodePath } })).exit).code, 0)
    })

    test('cuts output between characters', async () => {
      await using agent = await TestAgent.start(user)
      const script = `process.stdout.write('€'.repeat(100_000))`
      const process = await agent.client.run({ argv: ['node', '-e', script], env: { PATH: nodePath } })
      let all = ''
      for await (const { data } of process.output()) {
        assert.ok(data.length <= 32 * 1024)
        all += data.toString()
      }
      assert.equal(all, '€'.repeat(100_000))
    })

    test('another reader joins a running program and late ones see its end', async () => {
      await using agent = await TestAgent.start(user)
      const first = await agent.client.run({ argv: ['cat'], stdin: 'pipe' })
      const second = await agent.client.attach(first.pid)
      await first.write(Buffer.from('both'))
      await first.closeStdin()
      for (const process of [first, second]) {
        let all = ''
        for await (const { data } of process.output()) all += data.toString()
        assert.equal(all, 'both')
        assert.equal((await process.exit).code, 0)
      }
      assert.equal((await (await agent.client.attach(first.pid)).exit).code, 0)
      await assert.rejects(agent.client.attach(1), { code: 'not_found' })
    })

    test('gives a terminal', async () => {
      await using agent = await TestAgent.start(user)
      const shell = await agent.client.run({ argv: ['sh'], pty: { cols: 71, rows: 20 }, env: { PS1: '$ ' } })
      let all = ''
      const read = (async () => {
        for await (const { data } of shell.output()) all += data.toString()
      })()
      await shell.write(Buffer.from('stty size; id -u; exit 4\n'))
      assert.equal((await shell.exit).code, 4)
      await read
      assert.match(all, /20 71/)
      const sized = await agent.client.run({ argv: ['sh', '-c', 'read line; stty size'], pty: { cols: 71, rows: 20 } })
      await sized.resize({ cols: 99, rows: 30 })
      await sized.write(Buffer.from('\n'))
      all = ''
      for await (const { data } of sized.output()) all += data.toString()
      assert.match(all, /30 99/)
    })

    test('handles files with the rights of the user', async () => {
      await using agent = await TestAgent.start(user)
      const { files } = agent.client
      await files.write('a/b.txt', Buffer.from('text'), { mode: 0o640 })
      assert.equal(await text(await files.read('a/b.txt')), 'text')
      const entry = await files.stat('a/b.txt')
      assert.deepEqual(
        [entry.type, entry.size, entry.mode, entry.path],
        ['file', 4, 0o640, join(agent.appDir, 'a/b.txt')],
      )
      const onDisk = await lstat(entry.path)
      assert.equal(onDisk.uid, user === 'user' ? 1000 : process.getuid?.())
      await files.write('a/b.txt', Readable.from([Buffer.from('other')]))
      assert.equal((await files.stat('a/b.txt')).mode, 0o640, 'kept')
      await files.write('empty', Buffer.alloc(0))
      assert.equal((await buffer(await files.read('empty'))).length, 0)
      await files.makeDir('a/deep/er')
      await symlink('b.txt', join(agent.appDir, 'a/link'))
      assert.equal((await files.stat('a/link')).symlinkTarget, 'b.txt')
      await files.write('a/link', Buffer.from('through'))
      assert.equal(await text(await files.read('a/b.txt')), 'through')
      assert.deepEqual(
        (await files.list('')).map(found => found.name),
        ['a', 'empty'],
      )
      assert.deepEqual(
        (await files.list('a', { depth: 9 })).map(found => `${found.type} ${found.path.slice(agent.appDir.length)}`),
        ['file /a/b.txt', 'directory /a/deep', 'directory /a/deep/er', 'symlink /a/link'],
      )
      await files.rename('a/b.txt', 'c/d.txt')
      await assert.rejects(files.read('a/b.txt'), FileNotFoundError)
      await assert.rejects(files.stat('a/b.txt'), FileNotFoundError)
      await assert.rejects(files.list('nowhere'), FileNotFoundError)
      await assert.rejects(files.read('a'), { code: 'invalid_request' })
      await files.remove('a')
      await files.remove('a')
      assert.deepEqual((await readdir(agent.appDir)).sort(), ['c', 'empty'])
      if (user === 'self') return
      const secret = join(agent.directory, 'secret')
      await writeFile(secret, 'root only', { mode: 0o600 })
      await symlink(secret, join(agent.appDir, 'escape'))
      await assert.rejects(files.read('escape'), { code: 'forbidden' })
      await assert.rejects(files.write('escape', Buffer.from('x')), { code: 'forbidden' })
      await assert.rejects(files.write(secret, Buffer.from('x')), { code: 'forbidden' })
      assert.equal(await readFile(secret, 'utf8'), 'root only')
    })

    test('packs and unpacks', async () => {
      await using agent = await TestAgent.start(user)
      const { files } = agent.client
      await files.write('src/run.sh', Buffer.from('#!/bin/sh\n'), { mode: 0o755 })
      await files.write('src/-odd name\n', Buffer.alloc(3_000_000, 7))
      await files.makeDir('src/empty')
      await symlink('run.sh', join(agent.appDir, 'src/link'))
      await files.unpack('copy/of it', await files.pack('src'))
      const shape = async (path: string) =>
        (await files.list(path, { depth: 5 })).map(({ name, type, mode, size, symlinkTarget }) => {
          const length = type === 'directory' ? 0 : size
          return { name, type, mode, symlinkTarget, length }
        })
      assert.deepEqual(await shape('copy/of it'), await shape('src'))
      assert.equal((await shape('src')).length, 4)
      await files.makeDir('none')
      await files.unpack('none-copy', await files.pack('none'))
      await assert.rejects(files.pack('missing'), FileNotFoundError)
      const junk = Readable.from(Array.from({ length: 50 }, () => Buffer.alloc(100_000, 'junk')))
      await assert.rejects(files.unpack('junk', junk), { code: 'invalid_request', message: /tar/ })
      assert.equal(await text(await files.read('src/run.sh')), '#!/bin/sh\n', 'still serves')
    })

    test('watches a tree', async () => {
      await using agent = await TestAgent.start(user)
      const { files } = agent.client
      await files.write('sub/old.txt', Buffer.from('1'))
      const stop = new AbortController()
      const changes = files.watch('', { recursive: true, signal: stop.signal })[Symbol.asyncIterator]()
      const seen = new Set<string>()
      const until = async (change: string): Promise<void> => {
        while (!seen.has(change)) {
          const { value, done } = await changes.next()
          assert.ok(done !== true, `ended before ${change}`)
          seen.add(`${value.type} ${value.path.slice(agent.appDir.length)}`)
        }
      }
      const first = until('create /probe')
      await delay(200)
      await files.makeDir('probe')
      await first
      await files.write('probe/in/new.txt', Buffer.from('1'))
      await until('create /probe/in/new.txt')
      await run(agent.client, ['sh', '-c', 'echo more >> sub/old.txt'])
      await until('write /sub/old.txt')
      await files.remove('sub')
      await until('remove /sub/old.txt')
      await until('remove /sub')
      stop.abort()
      assert.equal((await changes.next()).done, true)
      const { signal } = new AbortController()
      const nowhere = files.watch('nowhere', { recursive: false, signal })[Symbol.asyncIterator]()
      await assert.rejects(nowhere.next(), FileNotFoundError)
    })
  })
}

const nodePath = `${join(process.execPath, '..')}:${process.env['PATH']}`

async function run(client: AgentClient, argv: string[], rest: Partial<ProcessSpec> = {}) {
  const process = await client.run({ argv, ...rest })
  const out = { stdout: '', stderr: '', pty: '' }
  for await (const { stream, data } of process.output()) out[stream] += data.toString()
  return { stdout: out.stdout, stderr: out.stderr, exit: await process.exit }
}
