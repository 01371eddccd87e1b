import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { attachedLoops } from '../kernel/loop.ts'
import { openPathHandle } from '../kernel/path-handle.ts'
import { ensureBaseImage } from './base-image.ts'
import { nearestVersions } from './nearest-versions.ts'
import { npmForNode } from './npm-for-node.ts'
import { PackageFetch } from './package-fetch.ts'
import { ensurePackageManager } from './package-manager.ts'
import { copyPlainTree } from './plain-tree.ts'
import { ensureNode, ensureToolchain } from './toolchain.ts'

/** The machine's own: building an image for every run would take half a minute each. */
const sharedCache = process.env['CODERUNNER_CACHE_DIR'] ?? '/var/cache/coderunner'
const nodePackage = `node-linux-${process.arch}`

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cr-fetch-'))
})
afterEach(async () => {
  const own = (await attachedLoops()).filter(({ imagePath }) => imagePath.startsWith(directory))
  assert.deepEqual(own, [])
  rmSync(directory, { recursive: true })
})

type Files = Readonly<Record<string, string>>

function tarball(name: string, files: Files): Buffer {
  const root = join(directory, 'packing')
  for (const [path, content] of Object.entries(files)) {
    const target = join(root, 'package', path)
    mkdirSync(dirname(target), { recursive: true })
    if (content.startsWith('-> ')) symlinkSync(content.slice(3), target)
    else writeFileSync(target, content)
    if (!content.startsWith('-> ')) chmodSync(target, 0o600)
  }
  execFileSync('tar', ['-czf', join(directory, 'packed.tgz'), '-C', root, 'package'])
  rmSync(root, { recursive: true })
  assert.ok(name !== '')
  return readFileSync(join(directory, 'packed.tgz'))
}

/** A registry of packages made for the test, by name and version. */
async function registryOf(packages: Record<string, Record<string, Files & { integrity?: string }>>) {
  let tarballs = 0
  const built = new Map<string, Buffer>()
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1)
    const packed = built.get(path)
    if (packed !== undefined) {
      tarballs++
      response.end(packed)
      return
    }
    const versions = packages[path]
    if (versions === undefined) {
      response.writeHead(404).end('{}')
      return
    }
    const manifests = Object.entries(versions).map(([version, { integrity, ...files }]) => {
      const file = `${path}/-/${version}.tgz`
      const content = built.get(file) ?? tarball(path, files)
      built.set(file, content)
      const real = `sha512-${createHash('sha512').update(content).digest('base64')}`
      const dist = { tarball: `http://${request.headers.host}/${file}`, integrity: integrity ?? real }
      return [version, { name: path, version, dist }]
    })
    const document = { name: path, 'dist-tags': { latest: Object.keys(versions).at(-1) } }
    response.end(JSON.stringify({ ...document, versions: Object.fromEntries(manifests) }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    tarballs: () => tarballs,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function fetcher(registry: string, signal = new AbortController().signal) {
  const [base, toolchain] = [
    await ensureBaseImage({ cacheDir: sharedCache }),
    await ensureToolchain({ cacheDir: sharedCache }),
  ]
  const registryEnv = { npm_config_registry: registry, npm_config_fetch_retries: '0' }
  const fetch = new PackageFetch({ rootLayers: [toolchain.path, base.path], registryEnv, user: 990_123, signal })
  return { cacheDir: join(directory, 'cache'), fetch }
}

const yarn = {
  'package.json': JSON.stringify({
    name: 'yarn',
    version: '1.99.0',
    bin: { yarn: './bin/yarn.js', evil: '../../../../../bin/sh', '../evil': 'bin/yarn.js' },
    scripts: { install: 'touch /app/ran', postinstall: 'exit 1' },
  }),
  'bin/yarn.js': '#!/usr/bin/env node\nconsole.log("1.99.0")\n',
  'lib/link': '-> /etc/shadow',
}

test('a package manager is fetched once for all who ask, and everyone may read and run it', async () => {
  await using registry = await registryOf({ yarn: { '1.99.0': yarn } })
  const options = await fetcher(registry.url)
  const before = process.umask(0o077)
  try {
    const manager = { name: 'yarn', version: '1.99.0' } as const
    const paths = await Promise.all([ensurePackageManager(options, manager), ensurePackageManager(options, manager)])
    const [path] = paths
    assert.equal(paths[1], path)
    assert.equal(await ensurePackageManager(options, manager), path)
    assert.equal(registry.tarballs(), 1)
    const bin = join(path, 'usr/local/bin')
    assert.deepEqual(readdirSync(bin), ['yarn'])
    assert.equal(execFileSync(process.execPath, [join(bin, 'yarn')], { encoding: 'utf8' }), '1.99.0\n')
    const unreadable = execFileSync('find', [path, '-not', '-type', 'l', '-not', '-perm', '-0444'], {
      encoding: 'utf8',
    })
    assert.equal(unreadable, '')
    assert.equal(lstatSync(join(bin, 'yarn')).uid, 0)
    assert.deepEqual(readdirSync(path), ['usr'])
    assert.deepEqual(readdirSync(join(path, 'usr/local/lib/package-manager')).sort(), ['bin', 'package.json'])
  } finally {
    process.umask(before)
  }
})

test('Node comes with an npm that runs on it and the headers of this machine', async () => {
  const other = process.arch === 'arm64' ? 'linux-x86_64' : 'linux-aarch64'
  const own = process.arch === 'arm64' ? 'linux-aarch64' : 'linux-x86_64'
  const manifest = (name: string, version: string): Files => ({ 'package.json': JSON.stringify({ name, version }) })
  await using registry = await registryOf({
    [nodePackage]: {
      '16.99.0': {
        ...manifest(nodePackage, '16.99.0'),
        'bin/node': 'a program',
        'include/node/node.h': '',
        [`include/node/openssl/archs/${own}/a.h`]: '',
        [`include/node/openssl/archs/${other}/a.h`]: '',
        'share/doc/long': '',
      },
    },
    npm: { '9.9.4': { ...manifest('npm', '9.9.4'), 'bin/npm-cli.js': '', 'bin/npx-cli.js': '' } },
  })
  const { path, npmVersion } = await ensureNode(await fetcher(registry.url), '16.99.0')
  assert.equal(npmVersion, '9.9.4')
  const local = join(path, 'usr/local')
  assert.deepEqual(readdirSync(local).sort(), ['bin', 'include', 'lib'])
  assert.equal(readFileSync(join(local, 'bin/node'), 'utf8'), 'a program')
  assert.equal(lstatSync(join(local, 'bin/node')).mode & 0o777, 0o755)
  assert.deepEqual(readdirSync(join(local, 'include/node/openssl/archs')), [own])
})

test('a version that is not there is told with those that are, and nothing is kept', async () => {
  await using registry = await registryOf({ [nodePackage]: { '20.1.0': yarn, '20.3.0': yarn, '22.0.0': yarn } })
  const options = await fetcher(registry.url)
  await assert.rejects(ensureNode(options, '20.2.0'), {
    code: 'nothing_to_run',
    message: 'Node 20.2.0 was asked for, and there is no such version. Near it are 20.1.0, 20.3.0, 22.0.0.',
  })
  await assert.rejects(ensureNode(options, '0.12.18'), { code: 'nothing_to_run', message: /too old.*6\.2\.0/ })
  assert.deepEqual(
    readdirSync(join(options.cacheDir, 'toolchain')).filter(name => !name.endsWith('.lock')),
    [],
  )
})

test('what the registry did not mean, or does not give, is not taken', async () => {
  const integrity = `sha512-${createHash('sha512').update('another').digest('base64')}`
  await using registry = await registryOf({ yarn: { '1.99.0': { ...yarn, integrity } } })
  const manager = { name: 'yarn', version: '1.99.0' } as const
  await assert.rejects(ensurePackageManager(await fetcher(registry.url), manager), {
    code: 'unavailable',
    message: /yarn 1\.99\.0 could not be fetched .*EINTEGRITY/,
  })
  await assert.rejects(ensurePackageManager(await fetcher('http://127.0.0.1:9/'), manager), { code: 'unavailable' })
})

test('a fetch that nobody waits for any more is given up, with all it started', async () => {
  let arrived = (): void => {}
  const asked = new Promise<void>(resolve => {
    arrived = resolve
  })
  const server = createServer(() => arrived()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const ending = new AbortController()
  const registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const manager = { name: 'yarn', version: '1.99.0' } as const
  const fetching = ensurePackageManager(await fetcher(registry, ending.signal), manager)
  await Promise.race([asked, fetching])
  ending.abort(new Error('shutting down'))
  await assert.rejects(fetching, /shutting down/)
  server.closeAllConnections()
  server.close()
})

test('a copy of what a stranger wrote has plain files only', async () => {
  const source = join(directory, 'source')
  mkdirSync(join(source, 'inner'), { recursive: true })
  writeFileSync(join(source, 'inner/file'), 'text', { mode: 0o4777 })
  symlinkSync('/etc/shadow', join(source, 'inner/link'))
  symlinkSync('/etc', join(source, 'directory'))
  execFileSync('mkfifo', [join(source, 'fifo')])
  {
    using handle = openPathHandle(source)
    await copyPlainTree(handle, join(directory, 'copy'))
  }
  const copied = readdirSync(join(directory, 'copy'), { recursive: true, encoding: 'utf8' })
  assert.deepEqual(copied.sort(), ['inner', 'inner/file'])
  assert.equal(lstatSync(join(directory, 'copy/inner/file')).mode & 0o7777, 0o755)
})

test('the npm that runs on a Node, and the versions near one that is not there', () => {
  const pinned = { version: '11.21.2', node: '^20.17.0 || >=22.9.0' }
  const chosen = ['24.21.0', '22.8.0', '20.17.0', '18.20.8', '18.0.0', '16.20.2', '12.22.12', '8.17.0', '4.9.1']
  assert.deepEqual(
    chosen.map(version => npmForNode(version, pinned)),
    ['11.21.2', '10.9.9', '11.21.2', '10.9.9', '9.9.4', '9.9.4', '8.19.4', '6.14.18', undefined],
  )
  const published = ['18.1.0', '20.1.0', '20.9.0', '22.0.0', '23.0.0-rc.1']
  assert.deepEqual(nearestVersions('20.2.0', published), ['20.1.0', '20.9.0', '22.0.0'])
  assert.deepEqual(nearestVersions('99.0.0', published), ['22.0.0'])
  assert.deepEqual(nearestVersions('1.0.0', []), [])
})
