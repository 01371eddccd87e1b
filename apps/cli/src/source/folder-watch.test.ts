import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { FolderWatch } from './folder-watch.ts'
import { readSourceFolder } from './source-folder.ts'

const { signal } = new AbortController()

async function watched(files: Record<string, string>) {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'coderunner-watch-')))
  const write = async (name: string, content: string) => {
    await mkdir(dirname(join(path, name)), { recursive: true })
    await writeFile(join(path, name), content)
  }
  for (const [name, content] of Object.entries(files)) await write(name, content)
  const watch = new FolderWatch()
  const walk = async () => {
    const { entries } = await readSourceFolder(path, signal, watch)
    watch.forgetUnseen()
    return entries.map(entry => entry.path)
  }
  return {
    path,
    watch,
    walk,
    write,
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]()
      await rm(path, { recursive: true })
    },
  }
}

test('changes come in batches: written, replaced, made and removed', async () => {
  await using folder = await watched({ 'a.js': '1', 'lib/b.js': '1' })
  const { watch, walk, write, path } = folder
  await walk()
  const changes: [string, () => Promise<unknown>][] = [
    ['appended', () => appendFile(join(path, 'lib/b.js'), '2')],
    ['replaced', () => write('tmp', 'x').then(() => rename(join(path, 'tmp'), join(path, 'a.js')))],
    [
      'many',
      async () => {
        for (let n = 0; n < 20; n++) await write(`lib/n${n}`, '')
      },
    ],
    ['a new folder with a file', () => write('new/deep/c.js', '1')],
    ['removed', () => rm(join(path, 'lib/b.js'))],
  ]
  for (const [what, change] of changes) {
    assert.equal(watch.isChanged, false, what)
    await change()
    await watch.nextBatch(AbortSignal.timeout(5000))
    await walk()
    await delay(30)
    // The walk itself found the folder's content: what it saw begin may tell of itself once more.
    if (watch.isChanged) await watch.nextBatch(signal)
    await walk()
  }
  await write('new/deep/d.js', '1')
  await watch.nextBatch(AbortSignal.timeout(5000))
  assert.ok((await walk()).includes('new/deep/d.js'))
})

test('what stays at home is not heard of, nor what editors leave for a moment', async () => {
  await using folder = await watched({
    '.gitignore': '*.log\n/dist\n',
    'a.js': '1',
    'dist/x': '',
    'node_modules/y/z': '',
  })
  const { watch, walk, write } = folder
  await walk()
  for (const name of ['app.log', 'dist/y', 'node_modules/y/w', '.env', '.a.js.swp', 'a.js~', '4913'])
    await write(name, '2')
  await delay(60)
  assert.equal(watch.isChanged, false)
  await write('a.js', '2')
  await watch.nextBatch(AbortSignal.timeout(5000))
})

test('waiting ends with its signal', async () => {
  await using folder = await watched({ 'a.js': '1' })
  await folder.walk()
  await assert.rejects(folder.watch.nextBatch(AbortSignal.timeout(20)), { name: 'TimeoutError' })
})
