import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { promisify } from 'node:util'
import { bindMount, mountOverlay, unmount } from '../kernel/mount.ts'
import { SYSTEM_PATH } from '../kernel/system-programs.ts'
import { ensureBaseImage } from './base-image.ts'
import { buildOnce } from './build-once.ts'
import { ensureToolchain } from './toolchain.ts'

const run = promisify(execFile)
/** The machine's own: building an image for every run would take half a minute each. */
const sharedCache = process.env['CODERUNNER_CACHE_DIR'] ?? '/var/cache/coderunner'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cr-base-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

test('what several ask for at once is built once', async () => {
  const path = join(directory, 'made')
  let builds = 0
  const build = async (temporaryPath: string): Promise<void> => {
    builds++
    mkdirSync(temporaryPath)
    writeFileSync(join(temporaryPath, 'file'), 'whole')
  }
  await Promise.all([buildOnce(path, build), buildOnce(path, build)])
  await buildOnce(path, build)
  assert.equal(builds, 1)
  assert.equal(readFileSync(join(path, 'file'), 'utf8'), 'whole')
})

test('a failed build leaves nothing, and the next one works', async () => {
  const path = join(directory, 'made')
  const failing = buildOnce(path, async temporaryPath => {
    mkdirSync(temporaryPath)
    throw new Error('no mirror')
  })
  await assert.rejects(failing, /no mirror/)
  assert.deepEqual(readdirSync(directory), ['made.lock'])
  await buildOnce(path, async temporaryPath => {
    mkdirSync(temporaryPath)
  })
  assert.ok(existsSync(path))
})

test('another process waits for the builder, and takes over when that one is killed', async () => {
  const path = join(directory, 'made')
  const program = `
    import { mkdirSync } from 'node:fs'
    import { buildOnce } from ${JSON.stringify(new URL('build-once.ts', import.meta.url).href)}
    await buildOnce(${JSON.stringify(path)}, path => { mkdirSync(path + '/half', { recursive: true }); console.log('building'); return new Promise(() => setInterval(() => {}, 1e6)) })`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  let builds = 0
  const built = buildOnce(path, async temporaryPath => {
    builds++
    mkdirSync(temporaryPath)
  })
  await run('true')
  assert.equal(builds, 0)
  child.kill('SIGKILL')
  await built
  assert.equal(builds, 1)
  assert.deepEqual(readdirSync(path), [])
})

test('everyone can read the toolchain, whatever the umask', async () => {
  const before = process.umask(0o077)
  try {
    const { path, nodeVersion } = await ensureToolchain({ cacheDir: directory })
    assert.equal(nodeVersion, process.versions.node)
    const { stdout } = await run('find', [path, '-not', '-type', 'l', '-not', '-perm', '-0444'])
    assert.equal(stdout, '')
    assert.equal(statSync(join(path, 'usr/local/bin/npm')).mode & 0o777, 0o755)
    assert.ok(!existsSync(join(path, 'usr/local/etc')))
  } finally {
    process.umask(before)
  }
})

test('base and toolchain make a root where the user runs node, npm, git, python and sudo', async context => {
  const base = await ensureBaseImage({ cacheDir: sharedCache, onProgress: line => context.diagnostic(line) })
  assert.deepEqual(await ensureBaseImage({ cacheDir: sharedCache }), base)
  const toolchain = await ensureToolchain({ cacheDir: sharedCache })
  for (const name of ['upper', 'work', 'root']) mkdirSync(join(directory, name))
  const root = join(directory, 'root')
  mountOverlay(root, {
    lower: [toolchain.path, base.path],
    upper: join(directory, 'upper'),
    work: join(directory, 'work'),
  })
  try {
    // Mounted as in a sandbox, without device nodes.
    bindMount('/dev/null', join(root, 'dev/null'))
    const say = async (...command: string[]): Promise<string> =>
      (await run('chroot', ['--userspec=user', root, ...command], { env: { PATH: SYSTEM_PATH } })).stdout
    assert.equal(await say('node', '--version'), `${process.version}\n`)
    assert.equal(await say('npm', '--version'), `${toolchain.npmVersion}\n`)
    assert.match(await say('npx', '--version'), /^\d+/)
    assert.match(await say('git', '--version'), /^git version/)
    assert.match(await say('python3', '--version'), /^Python 3/)
    assert.equal(await say('id', '-un'), 'user\n')
    assert.equal(await say('sudo', '-n', 'id', '-u'), '0\n')
    for (const path of ['/app', '/run/cr', '/opt/coderunner/agent', '/home/user']) {
      assert.ok(statSync(join(root, path)).isDirectory(), path)
    }
    assert.equal(statSync(join(root, 'app')).uid, 1000)
  } finally {
    unmount(join(root, 'dev/null'))
    unmount(root)
  }
})
