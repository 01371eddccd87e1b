import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CodeRunner } from '../coderunner.ts'

type Files = Record<string, string>

interface Broken {
  files: Files
  code: string
  /** All of them are in the deployment's error and in what the CLI writes: what is wrong, what to change, the line. */
  says: RegExp[]
}

/** Answers what registries do to strangers: `@acme/unknown401` is refused with 401. */
class PrivateRegistry implements AsyncDisposable {
  readonly address: string
  readonly #server: Server

  private constructor(server: Server, host: string) {
    this.#server = server
    this.address = `${host}:${(server.address() as AddressInfo).port}`
  }

  static async start(): Promise<PrivateRegistry> {
    const host = Object.values(networkInterfaces())
      .flat()
      .find(entry => entry?.family === 'IPv4' && !entry.internal)?.address
    assert.ok(host, 'this machine has an address besides loopback, which sandboxes cannot reach')
    const server = createServer((request, response) => {
      const status = Number(/(\d{3})$/.exec(request.url ?? '')?.[1] ?? 404)
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"error":"not for you"}')
    })
    server.listen(0, host)
    await once(server, 'listening')
    return new PrivateRegistry(server, host)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

const serves = `require('node:http').createServer((q, s) => s.end('fine')).listen(process.env.PORT)`
const manifest = (json: object) =>
  JSON.stringify({ name: 'broken', scripts: { start: 'node server.js' }, ...json }, undefined, 2)
/** A project whose build is this. */
const builds = (build: string, more: Files = {}): Files => ({
  'package.json': manifest({ scripts: { build, start: 'node server.js' } }),
  'server.js': serves,
  ...more,
})
/** A project that starts this. */
const starts = (source: string, more: Files = {}): Files => ({
  'package.json': manifest({}),
  'server.js': source,
  ...more,
})
const needs = (dependencies: Record<string, string>, more: Files = {}): Files => ({
  'package.json': manifest({ dependencies }),
  'server.js': serves,
  ...more,
})
const packageLock = (name: string, version: string) =>
  JSON.stringify({
    name: 'broken',
    lockfileVersion: 3,
    packages: { '': { name: 'broken', dependencies: { [name]: '*' } }, [`node_modules/${name}`]: { version } },
  })

const broken: Record<string, Broken> = {
  'package.json that does not parse': {
    files: {
      'package.json': '{\n  "name": "broken",\n  "scripts": { "start": "node server.js" },\n}\n',
      'server.js': serves,
    },
    code: 'build_failed',
    says: [/package\.json is not valid JSON: .* at line 4, column 1: \}/],
  },
  'two lock files that contradict each other': {
    files: needs(
      { ms: '*' },
      {
        'package-lock.json': packageLock('ms', '2.1.3'),
        'yarn.lock': '# yarn lockfile v1\n\n\nms@*:\n  version "2.0.0"\n',
      },
    ),
    code: 'build_failed',
    says: [
      /Two lock files contradict each other: .*package-lock\.json has ms 2\.1\.3/,
      /yarn\.lock has ms 2\.0\.0/,
      /Remove the one that is not used, or name the package manager/,
    ],
  },
  'peer dependencies that contradict each other': {
    files: needs({ react: '18.3.1', 'react-dom': '17.0.2' }),
    code: 'build_failed',
    says: [
      /react-dom@17\.0\.2 needs react 17\.0\.2, and the project has react@18\.3\.1: change the version of one/,
      /npm error peer react@"17\.0\.2" from react-dom@17\.0\.2/,
    ],
  },
  'a script that is not there': {
    files: builds('npm run compile'),
    code: 'build_failed',
    says: [
      /“npm run build” ended with code 1\. package\.json has no script “compile”: add it/,
      /npm error Missing script: "compile"/,
    ],
  },
  'a program that is not there': {
    files: builds('vite build'),
    code: 'build_failed',
    says: [/The program “vite” is not there: add the package that brings it to the dependencies/, /vite: not found/],
  },
  'a version that is not published': {
    files: needs({ ms: '99.0.0' }),
    code: 'build_failed',
    says: [/The registry has no version of it that fits ms@99\.0\.0: name another in package\.json/],
  },
  'nothing to start': {
    files: { 'package.json': manifest({ scripts: { test: 'node test.js' } }), 'lib/thing.js': '' },
    code: 'nothing_to_run',
    says: [
      /Nothing to run was found\. Looked for a start script or "main" in package\.json, .*server\.js/,
      /or say how it starts with --start/,
      /Found: lib\/  package\.json/,
    ],
  },
  'a range of Node that nothing fits': {
    files: { 'package.json': manifest({ engines: { node: '>=20 <18' } }), 'server.js': serves },
    code: 'build_failed',
    says: [/There is no version of Node that fits “>=20 <18” \(engines\.node of package\.json\)\. Write for example/],
  },
  'a build that needs too much memory': {
    files: builds('node greedy.js', {
      'greedy.js': 'const all = []; for (;;) all.push(Buffer.alloc(128 * 2 ** 20, 1))',
    }),
    code: 'build_failed',
    says: [/The build ran out of memory \(2048 MB\): let it do less at once/],
  },
  'a build that needs too much memory for JavaScript': {
    files: builds('node --max-old-space-size=64 greedy.js', {
      'greedy.js': 'const all = []; for (;;) all.push({ some: [Math.random()] })',
    }),
    code: 'build_failed',
    says: [/set the variable NODE_OPTIONS to --max-old-space-size/, /heap out of memory/],
  },
  'a build that writes too much': {
    files: builds('fallocate -l 6G everything.bin'),
    code: 'build_failed',
    says: [/The build ran out of disk space \(4096 MB\): write less/, /No space left on device/],
  },
  'a registry that is not there': {
    files: needs({ ms: '2.1.3' }, { '.npmrc': 'registry=http://127.0.0.1:9/\nfetch-retries=0\n' }),
    code: 'build_failed',
    says: [
      /The package registry http:\/\/127\.0\.0\.1:9 could not be reached \(ECONNREFUSED\): that address is the sandbox itself/,
      /npm error code ECONNREFUSED/,
    ],
  },
  'an addon that does not compile': {
    files: needs(
      { addon: 'file:./addon' },
      {
        'addon/package.json': JSON.stringify({
          name: 'addon',
          version: '1.0.0',
          scripts: { install: 'node-gyp rebuild' },
        }),
        'addon/binding.gyp': JSON.stringify({ targets: [{ target_name: 'addon', sources: ['addon.cc'] }] }),
        'addon/addon.cc': '#include <node_api.h>\nint answer = "forty-two";\n',
      },
    ),
    code: 'build_failed',
    says: [
      /addon has to be compiled, and the compiler refused it \(addon\.cc:2:14: error: invalid conversion/,
      /mend it, or take a version that fits this version of Node or has binaries for Linux/,
    ],
  },
  'an import in another case, at the start': {
    files: starts(`require('./Server')`, {
      'package.json': manifest({ scripts: { start: 'node index.js' } }),
      'index.js': `require('./Server')`,
      'server.js': serves,
    }),
    code: 'start_failed',
    says: [
      /There is no file \.\/Server, which index\.js asks for: look whether it .* is written in the same case/,
      /Cannot find module '\.\/Server'/,
    ],
  },
  'an import in another case, in a build': {
    files: builds('node build.mjs', { 'build.mjs': `import './Pages.mjs'`, 'pages.mjs': '' }),
    code: 'build_failed',
    says: [/There is no file Pages\.mjs, which build\.mjs asks for: look whether it .* is written in the same case/],
  },
  'a package that is not among the dependencies': {
    files: starts(`require('@acme/kit/server')`),
    code: 'start_failed',
    says: [/The package @acme\/kit is not installed: add it to the dependencies of package\.json/],
  },
  'an application that ends at once': {
    files: starts(`console.log('reading settings'); console.error('DATABASE_URL is missing'); process.exit(3)`),
    code: 'start_failed',
    says: [
      /The application ended with code 3 before it answered\. Its last output:\n/,
      /^ *reading settings$/m,
      /^ *DATABASE_URL is missing$/m,
    ],
  },
}

const pnpm = 'pnpm@10.20.0'
/** What people see who have no token, by package manager and the registry's answer. */
const privatePackages = [
  [
    'npm@11.6.0',
    401,
    /refused @acme\/secret401 at HOST \(401\): a private package needs a token\. Put \/\/HOST\/:_authToken=/,
  ],
  ['npm@11.6.0', 403, /refused @acme\/secret403 at HOST \(403\): a private package needs a token/],
  [
    'npm@11.6.0',
    404,
    /The registry has no @acme\/secret404@1\.0\.0: .* a private package needs its registry and token in \.npmrc/,
  ],
  [pnpm, 401, /refused @acme\/secret401 at HOST \(401\): a private package needs a token/],
  [pnpm, 404, /The registry has no @acme\/secret404: .* a private package needs its registry and token in \.npmrc/],
  ['yarn@1.22.22', 401, /refused @acme\/secret401 at HOST \(not for you\): a private package needs a token/],
  ['bun@1.3.0', 401, /refused @acme\/secret401 at HOST \(401\)/],
] as const

describe('what does not build says why and what to change', { concurrency: 2 }, () => {
  let coderunner: CodeRunner
  let registry: PrivateRegistry
  let folder: string
  let silent: Promise<void>

  before(async () => {
    registry = await PrivateRegistry.start()
    folder = await mkdtemp(join(tmpdir(), 'coderunner-broken-'))
    coderunner = await CodeRunner.start({ CODERUNNER_EGRESS_ALLOW: registry.address })
    // The minute that an application has for its first answer goes by beside the others.
    silent = refuses('silent', {
      files: starts(`console.log('up'); setInterval(() => {}, 1000)`),
      code: 'never_answered',
      says: [
        /did not answer within 60 s\. It listens on no port; it has to listen on PORT \(3000\)\. Its last output:\n *up$/m,
      ],
    })
    silent.catch(() => undefined)
  })
  after(async () => {
    await coderunner?.[Symbol.asyncDispose]()
    await registry[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  async function write(files: Files): Promise<string> {
    const dir = await mkdtemp(join(folder, 'app-'))
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(dir, path, '..'), { recursive: true })
      await writeFile(join(dir, path), text)
    }
    return dir
  }

  async function refuses(project: string, { files, code, says }: Broken): Promise<void> {
    const ended = await coderunner.cli(['deploy', await write(files), '--project', project])
    assert.equal(ended.code, 1, ended.stderr)
    const { items } = (await coderunner.api('GET', `/api/deployments?project=${project}`)) as {
      items: { error?: { code: string; message: string } }[]
    }
    const { error } = items[0] ?? {}
    assert.equal(error?.code, code)
    for (const expected of says) {
      assert.match(error.message, expected)
      assert.match(ended.stderr, expected)
    }
  }

  for (const [index, [name, item]] of Object.entries(broken).entries())
    test(name, () => refuses(`broken-${index}`, item))

  for (const [packageManager, status, expected] of privatePackages)
    test(`a private package without its token: ${packageManager}, ${status}`, () => {
      const dependencies = { [`@acme/secret${status}`]: '1.0.0' }
      const files = {
        'package.json': manifest({ packageManager, dependencies }),
        'server.js': serves,
        '.npmrc': `@acme:registry=http://${registry.address}/\n`,
      }
      const says = [new RegExp(expected.source.replaceAll('HOST', registry.address.replaceAll('.', '\\.')))]
      return refuses(`private-${packageManager.split('@')[0]}-${status}`, { files, code: 'build_failed', says })
    })

  test('a lock file of pnpm behind package.json: told, and the project runs', async () => {
    const dir = await write({
      'package.json': manifest({ packageManager: 'pnpm@10.20.0', dependencies: { ms: '2.1.3' } }),
      'pnpm-lock.yaml': `lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n`,
      'server.js': serves,
    })
    await coderunner.deploy(dir, 'behind')
    const { stdout } = await coderunner.cli(['logs', '--project', 'behind', '--build'])
    assert.match(
      stdout,
      /WARN The lock file does not fit package\.json: .* Run pnpm install and commit the lock file\./,
    )
  })

  test('a port that is never opened', () => silent)
})
