import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { pack } from 'tar-stream'
import { FileNotFoundError } from '../errors.ts'
import type { FileChange, Sandbox } from '../sandbox.ts'
import { type ConformanceWorld, run, skip } from './world.ts'

export function fileTests(world: () => ConformanceWorld): void {
  suite('files', () => {
    test('write, read, stat, list, rename, remove', async () => {
      const sandbox = await world().create()
      const { files } = sandbox
      const { appDir } = await sandbox.info()
      await files.write('a/b.txt', Buffer.from('text'), { mode: 0o640 })
      await files.write('a/stream', Readable.from([Buffer.from('one'), Buffer.alloc(1_000_000, 2)]))
      assert.equal(await text(await files.read('a/b.txt')), 'text')
      assert.equal((await buffer(await files.read(`${appDir}/a/stream`))).length, 1_000_003)
      const entry = await files.stat('a/b.txt')
      assert.deepEqual(
        [entry.name, entry.path, entry.type, entry.size, entry.mode],
        ['b.txt', `${appDir}/a/b.txt`, 'file', 4, 0o640],
      )
      assert.ok(Math.abs(entry.modifiedAt.getTime() - Date.now()) < 60_000)
      await files.write('a/b.txt', Buffer.from('longer text'))
      assert.equal(await text(await files.read('a/b.txt')), 'longer text')
      assert.equal((await run(sandbox, ['cat', 'a/b.txt'])).stdout, 'longer text', 'programs see it')
      await files.makeDir('a/c/d')
      await files.makeDir('a/c/d')
      assert.deepEqual(names(await files.list('a')), ['b.txt', 'c', 'stream'])
      assert.deepEqual(names(await files.list('', { depth: 2 })), ['a', 'b.txt', 'c', 'stream'])
      await files.rename('a/b.txt', 'moved/b.txt')
      assert.equal(await text(await files.read('moved/b.txt')), 'longer text')
      await files.remove('a')
      await files.remove('a')
      assert.deepEqual(names(await files.list('')), ['moved'])
    })

    test('what is missing', async () => {
      const { files } = await world().create()
      await assert.rejects(files.read('missing'), FileNotFoundError)
      await assert.rejects(files.stat('missing'), FileNotFoundError)
      await assert.rejects(files.list('missing'), FileNotFoundError)
      await assert.rejects(files.rename('missing', 'b'), FileNotFoundError)
      await assert.rejects(files.pack('missing'), FileNotFoundError)
      await files.makeDir('directory')
      await assert.rejects(files.read('directory'), { code: 'invalid_request' })
    })

    test('pack and unpack', async () => {
      const { files } = await world().create()
      const archive = pack()
      archive.entry({ name: 'run.sh', mode: 0o755 }, 'echo hi\n')
      archive.entry({ name: 'sub', type: 'directory', mode: 0o755 })
      archive.entry({ name: `sub/${'long'.repeat(30)}.txt`, mode: 0o600 }, 'long')
      archive.entry({ name: 'sub/link', type: 'symlink', linkname: '../run.sh' })
      archive.entry({ name: 'empty', type: 'directory', mode: 0o755 })
      archive.finalize()
      await files.unpack('first', Readable.from(archive))
      await files.unpack('second/copy', await files.pack('first'))
      for (const directory of ['first', 'second/copy']) {
        const shape = (await files.list(directory, { depth: 3 })).map(
          ({ name, type, mode, symlinkTarget }) => `${name} ${type === 'symlink' ? symlinkTarget : mode.toString(8)}`,
        )
        assert.deepEqual(shape.sort(), [
          'empty 755',
          'link ../run.sh',
          `${'long'.repeat(30)}.txt 600`,
          'run.sh 755',
          'sub 755',
        ])
        assert.equal(await text(await files.read(`${directory}/sub/link`)), 'echo hi\n')
      }
      await assert.rejects(files.unpack('junk', Readable.from([Buffer.alloc(20_000, 'junk')])))
    })

    test('watch', async () => {
      const { files } = await world().create()
      await files.makeDir('sub')
      await files.write('sub/old', Buffer.from('1'))
      const stop = new AbortController()
      const changes = files.watch('', { recursive: true, signal: stop.signal })[Symbol.asyncIterator]()
      const seen: FileChange[] = []
      const until = async (type: FileChange['type'], name: string): Promise<void> => {
        while (!seen.some(change => change.type === type && change.path.endsWith(name))) {
          const next = await changes.next()
          assert.ok(next.done !== true, 'the watch goes on')
          seen.push(next.value)
        }
      }
      // Nothing tells when the watch stands: probe until it sees something.
      const standing = { now: false }
      const first = until('create', '/probe').then(() => {
        standing.now = true
      })
      while (!standing.now) {
        await files.write('probe', Buffer.from('1'))
        await files.remove('probe')
      }
      await first
      await files.write('sub/young', Buffer.from('1'))
      await until('create', '/sub/young')
      await files.remove('sub/old')
      await until('remove', '/sub/old')
      await files.makeDir('later/down')
      await files.write('later/down/new', Buffer.from('1'))
      await until('create', '/later/down/new')
      stop.abort()
      assert.equal((await changes.next()).done, true)
    })

    test('links and archives do not lead out', async t => {
      if (!world().provider.capabilities.isolation) return skip(t, 'no isolation')
      const outside = await mkdtemp(join(tmpdir(), 'cr-outside-'))
      try {
        await writeFile(join(outside, 'secret'), 'secret')
        await staysInside(await world().create(), outside)
        assert.deepEqual(await readdir(outside), ['secret'])
      } finally {
        await rm(outside, { recursive: true, force: true })
      }
    })
  })
}

async function staysInside(sandbox: Sandbox, outside: string): Promise<void> {
  const { files } = sandbox
  await run(sandbox, ['ln', '-s', outside, 'link'])
  await run(sandbox, ['ln', '-s', '../../../../../../../etc/passwd', 'passwd'])
  await assert.rejects(files.read('link/secret'), FileNotFoundError)
  const passwd = await text(await files.read('passwd'))
  assert.equal(passwd, (await run(sandbox, ['cat', '/etc/passwd'])).stdout, "the sandbox's own")
  await files.write('link/planted', Buffer.from('x')).catch(() => undefined)
  const archive = pack()
  archive.entry({ name: 'out', type: 'symlink', linkname: outside })
  archive.entry({ name: 'out/planted' }, 'x')
  archive.entry({ name: `../../../../../../..${outside}/planted` }, 'x')
  archive.entry({ name: join(outside, 'planted') }, 'x')
  archive.finalize()
  await files.unpack('archive', Readable.from(archive)).catch(() => undefined)
  await assert.rejects(files.read('/root/.profile'), { code: 'forbidden' })
}

function names(entries: readonly { name: string }[]): string[] {
  return entries.map(entry => entry.name)
}
