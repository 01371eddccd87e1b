import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { extract } from 'tar-stream'
import { UsageError } from '../usage-error.ts'
import { archiveStream } from './source-archive.ts'
import { readSourceFolder } from './source-folder.ts'

/** A folder with these files; a value that begins with `->` is a symbolic link. */
async function folderOf(files: Record<string, string>) {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'coderunner-folder-')))
  for (const [name, content] of Object.entries(files)) {
    const file = join(path, name)
    await mkdir(dirname(file), { recursive: true })
    if (content.startsWith('->')) await symlink(content.slice(2), file)
    else await writeFile(file, content, { mode: name.endsWith('.sh') ? 0o755 : 0o644 })
  }
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

async function pathsIn(files: Record<string, string>, below = '.'): Promise<string[]> {
  await using folder = await folderOf(files)
  return (await readSourceFolder(join(folder.path, below))).entries.map(({ path }) => path)
}

test('takes everything but .git, node_modules and .env files; dotfiles stay', async () => {
  await using folder = await folderOf({
    'a.js': 'a',
    '.npmrc': '',
    '.github/x.yml': '',
    '.git/config': '',
    'node_modules/x/index.js': '',
    'sub/node_modules/y.js': '',
    '.env': 'S=1',
    'sub/.env.production': 'S=1',
    '.env.example': 'S=',
    'run.sh': '#!/bin/sh',
  })
  const source = await readSourceFolder(folder.path)
  assert.deepEqual(
    source.entries.map(({ path }) => path),
    ['.env.example', '.github/x.yml', '.npmrc', 'a.js', 'run.sh'],
  )
  assert.deepEqual(source.secretFiles.toSorted(), ['.env', 'sub/.env.production'])
  assert.deepEqual(
    source.entries.filter(entry => entry.kind === 'file' && entry.executable).map(({ path }) => path),
    ['run.sh'],
  )
  assert.equal(source.totalBytes, 'aS=#!/bin/sh'.length)
})

test('nested .gitignore files count, the deeper one first', async () => {
  const paths = await pathsIn({
    '.gitignore': '*.log\n/dist\n!keep.log\n',
    'a.log': '',
    'keep.log': '',
    'dist/x.js': '',
    'src/dist/y.js': '',
    'src/.gitignore': '!*.log\nsecret.txt\n',
    'src/b.log': '',
    'src/secret.txt': '',
    'secret.txt': '',
  })
  assert.deepEqual(paths, ['.gitignore', 'keep.log', 'secret.txt', 'src/.gitignore', 'src/b.log', 'src/dist/y.js'])
})

test('.coderunnerignore goes before .gitignore and takes back what that drops', async () => {
  const paths = await pathsIn({
    '.gitignore': 'dist/\n*.map\n.env.production\n',
    '.coderunnerignore': '!dist\n!.env.production\ntest/\n!node_modules\n*.tmp\n',
    'dist/app.js': '',
    'dist/deep/app.js': '',
    'dist/x.tmp': '',
    'test/a.js': '',
    'src.map': '',
    '.env.production': '',
    'node_modules/x.js': '',
  })
  assert.deepEqual(paths, ['.coderunnerignore', '.env.production', '.gitignore', 'dist/app.js', 'dist/deep/app.js'])
})

test('rules of the repository above count, unless they drop the very folder that is deployed', async () => {
  const files = {
    '.git/HEAD': '',
    '.gitignore': '*.log\ndist\n',
    'app/a.log': '',
    'app/a.js': '',
    'dist/index.html': '',
  }
  assert.deepEqual(await pathsIn(files, 'app'), ['a.js'])
  assert.deepEqual(await pathsIn(files, 'dist'), ['index.html'])
})

test('links within the folder stay links; those that leave it are named', async () => {
  await using good = await folderOf({ 'a/b.txt': '', 'c/link': '->../a/b.txt', gone: '->nowhere', dir: '->a' })
  const { entries } = await readSourceFolder(good.path)
  assert.deepEqual(
    entries.filter(entry => entry.kind === 'link'),
    [
      { kind: 'link', path: 'c/link', target: '../a/b.txt' },
      { kind: 'link', path: 'dir', target: 'a' },
      { kind: 'link', path: 'gone', target: 'nowhere' },
    ],
  )
  await using bad = await folderOf({ 'x/up': '->../../etc/passwd', absolute: '->/etc/passwd', 'ok.txt': '' })
  await assert.rejects(readSourceFolder(bad.path), (error: Error) => {
    assert.match(error.message, /x\/up is a symbolic link to \.\.\/\.\.\/etc\/passwd, outside/)
    assert.match(error.message, /absolute is a symbolic link to \/etc\/passwd, outside/)
    return true
  })
  await using ignored = await folderOf({ '.gitignore': 'up\n', up: '->/etc' })
  assert.equal((await readSourceFolder(ignored.path)).entries.length, 1)
  await using indirect = await folderOf({ out: '->in/../../x', in: '->deep/er', 'deep/er/f': '' })
  await assert.rejects(readSourceFolder(indirect.path), /out is a symbolic link/)
})

test('a socket is named and left out', async () => {
  await using folder = await folderOf({ 'a.js': '' })
  const server = createServer().listen(join(folder.path, 'app.sock'))
  await new Promise(resolve => server.once('listening', resolve))
  const source = await readSourceFolder(folder.path)
  await new Promise(resolve => server.close(resolve))
  assert.deepEqual(source.specialFiles, ['app.sock'])
  assert.equal(source.entries.length, 1)
})

test('what is no folder is a usage error', async () => {
  await using folder = await folderOf({ 'a.js': '' })
  await assert.rejects(readSourceFolder(join(folder.path, 'nope')), UsageError)
  await assert.rejects(readSourceFolder(join(folder.path, 'a.js')), UsageError)
})

test('the archive holds the tree, and nothing of its owner; the same tree gives the same bytes', async () => {
  const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/ü.txt`
  const big = 'x'.repeat(300_000)
  await using folder = await folderOf({ 'a.sh': 'echo', [long]: 'long', 'big.txt': big, link: '->a.sh', empty: '' })
  const { entries } = await readSourceFolder(folder.path)
  const archive = await buffer(archiveStream(entries))
  assert.deepEqual(await buffer(archiveStream(entries)), archive)
  const found: Record<string, unknown> = {}
  const reader = extract()
  reader.end(gunzipSync(archive))
  for await (const entry of reader) {
    const { name, type, mode, uid, gid, uname, linkname, mtime } = entry.header
    const content = (await buffer(entry)).toString()
    found[name] = type === 'symlink' ? `->${linkname}` : content
    assert.deepEqual([uid, gid, uname, mtime?.getTime()], [0, 0, '', 0])
    assert.equal(mode, type === 'symlink' ? 0o777 : name === 'a.sh' ? 0o755 : 0o644)
  }
  assert.deepEqual(found, { 'a.sh': 'echo', [long]: 'long', 'big.txt': big, link: '->a.sh', empty: '' })
})

test('a file that changes while it is packed breaks the archive with its name', async () => {
  for (const content of ['longer than before', '']) {
    await using folder = await folderOf({ 'a.txt': 'before' })
    const { entries } = await readSourceFolder(folder.path)
    await writeFile(join(folder.path, 'a.txt'), content)
    await assert.rejects(buffer(archiveStream(entries)), /a\.txt could not be read as it was listed/)
  }
})
