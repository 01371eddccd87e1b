import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { Launcher } from './launcher.ts'

const repository = join(import.meta.dirname, '..', '..', '..')
const account = { name: 'coderunner-test', uid: 990_001, gid: 990_001 }
const skip = process.getuid?.() === 0 && process.platform === 'linux' ? false : 'needs root on Linux'

suite('launcher', { skip }, () => {
  let directory: string
  let launcher: Launcher
  let own: string

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'crlaunch-'))
    own = join(directory, 'data', 'own')
    mkdirSync(own, { recursive: true })
    mkdirSync(join(directory, 'data', 'host'))
    mkdirSync(join(directory, 'sockets'))
    writeFileSync(join(directory, 'data', 'host', 'secret'), 'secret', { mode: 0o644 })
    chmodSync(join(directory, 'data'), 0o755)
    chownSync(own, account.uid, account.gid)
    launcher = new Launcher({ repository, runDir: join(directory, 'run'), dataDir: join(directory, 'data') })
  })

  afterEach(() => {
    launcher[Symbol.dispose]()
    rmSync(directory, { recursive: true })
  })

  async function inChild(program: string, repositoryOf = launcher): Promise<Record<string, unknown>> {
    const child = repositoryOf.spawn({
      account,
      command: process.execPath,
      args: ['--input-type=module', '-e', program],
      env: { MARK: 'seen' },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      keptFds: 1,
      data: [own],
      sockets: [join(directory, 'sockets')],
    })
    const [answer, errors] = await Promise.all([
      text(child.stdio[3] as NodeJS.ReadableStream),
      text(child.stderr as NodeJS.ReadableStream),
    ])
    assert.equal(errors, '')
    return JSON.parse(answer) as Record<string, unknown>
  }

  test('leaves nothing of root in the child', async () => {
    const { status, descriptors, env } = await inChild(`
      import { readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs'
      const status = Object.fromEntries(readFileSync('/proc/self/status', 'utf8').trim().split('\\n').map(line => line.split(/:\\s*/)))
      const descriptors = readdirSync('/proc/self/fd').filter(fd => { try { return readlinkSync('/proc/self/fd/' + fd).startsWith('user:') } catch { return false } })
      writeSync(3, JSON.stringify({ status, descriptors, env: Object.keys(process.env) }))`)
    const words = status as Record<string, string>
    assert.equal(words['Uid'], '990001\t990001\t990001\t990001')
    assert.equal(words['Gid'], '990001\t990001\t990001\t990001')
    assert.equal(words['Groups']?.trim(), '')
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(words[set] ?? '', /^0+$/, set)
    assert.equal(words['NoNewPrivs'], '1')
    assert.deepEqual(descriptors, [])
    assert.deepEqual(env, ['MARK'])
  })

  test('shows the child its own directory, the code and the system, and nothing else of the machine', async () => {
    const seen = await inChild(`
      import { readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
      import { userInfo } from 'node:os'
      const outcome = work => { try { return work() } catch (error) { return error.code } }
      writeFileSync(${JSON.stringify(join(own, 'written'))}, '')
      writeSync(3, JSON.stringify({
        root: readdirSync('/').sort(),
        data: readdirSync(${JSON.stringify(join(directory, 'data'))}),
        secret: outcome(() => readFileSync(${JSON.stringify(join(directory, 'data', 'host', 'secret'))}, 'utf8')),
        shadow: outcome(() => readFileSync('/etc/shadow', 'utf8')),
        repository: readdirSync(${JSON.stringify(repository)}).sort(),
        code: outcome(() => writeFileSync(${JSON.stringify(join(repository, 'apps', 'x'))}, '')),
        root_: outcome(() => writeFileSync('/x', '')),
        sockets: outcome(() => writeFileSync(${JSON.stringify(join(directory, 'sockets', 'x'))}, '')),
        system: outcome(() => writeFileSync('/usr/x', '')),
        user: userInfo().username,
      }))`)
    assert.deepEqual(seen['data'], ['own'])
    assert.deepEqual(seen['repository'], ['apps', 'node_modules', 'package.json', 'packages'])
    assert.equal(seen['secret'], 'ENOENT')
    assert.equal(seen['shadow'], 'ENOENT')
    for (const place of ['code', 'root_', 'sockets', 'system']) assert.match(String(seen[place]), /EROFS|EACCES/, place)
    assert.equal(seen['user'], account.name)
    const leadsToCode = repository.split('/')[1]
    const foreign = ['home', 'root', 'var'].filter(name => name !== leadsToCode)
    const root = seen['root'] as string[]
    assert.deepEqual(
      root.filter(name => foreign.includes(name)),
      [],
    )
  })

  test('runs code of a repository that only its owner can read, below a directory that only root can enter', async () => {
    const hidden = join(directory, 'home')
    const clone = join(hidden, 'clone')
    mkdirSync(join(clone, 'apps'), { recursive: true, mode: 0o700 })
    writeFileSync(join(clone, 'apps', 'code.json'), '{"read":true}', { mode: 0o600 })
    for (const path of [hidden, clone, join(clone, 'apps'), join(clone, 'apps', 'code.json')])
      chownSync(path, 1234, 1234)
    using other = new Launcher({ repository: clone, runDir: join(directory, 'run'), dataDir: join(directory, 'data') })
    const child = other.spawn({
      account,
      command: '/bin/cat',
      args: [join(clone, 'apps', 'code.json')],
      env: {},
      stdio: ['ignore', 'pipe', 'inherit'],
      data: [own],
      sockets: [],
    })
    assert.equal(await text(child.stdout as NodeJS.ReadableStream), '{"read":true}')
  })
})
