import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pdmLock, pipfileLock, poetryLock, uvLock } from './python-lock.ts'
import { parseToml } from './python-manifest.ts'
import { parseRequirement } from './python-requirement.ts'

const environment = { pythonVersion: '3.11.2', architecture: 'x64' }
const sha = (digit: string) => `sha256:${digit.repeat(64)}`
const asked = (...lines: string[]) => lines.flatMap(line => parseRequirement(line) ?? [])

const uv = `
version = 1
requires-python = ">=3.9"

[[package]]
name = "shop"
version = "0.1.0"
source = { virtual = "." }
dependencies = [
  { name = "flask", extra = ["dotenv"] },
  { name = "colorama", marker = "sys_platform == 'win32'" },
  { name = "tool" },
  { name = "lib" },
]
[package.dev-dependencies]
dev = [{ name = "pytest" }]

[[package]]
name = "flask"
version = "3.1.0"
source = { registry = "https://mirror.example.org/simple" }
dependencies = [{ name = "importlib-metadata", marker = "python_full_version < '3.10'" }, { name = "numpy", version = "2.0" }]
sdist = { url = "https://x/flask.tar.gz", hash = "${sha('1')}", size = 1 }
wheels = [{ url = "https://x/flask.whl", hash = "${sha('2')}", size = 1 }]
[package.optional-dependencies]
dotenv = [{ name = "python-dotenv" }]

[[package]]
name = "numpy"
version = "1.0"
source = { registry = "https://pypi.org/simple" }
wheels = [{ hash = "${sha('3')}" }]

[[package]]
name = "numpy"
version = "2.0"
source = { registry = "https://pypi.org/simple" }
wheels = [{ hash = "${sha('4')}" }]

[[package]]
name = "python-dotenv"
version = "1.0"
source = { registry = "https://pypi.org/simple" }
wheels = [{ hash = "${sha('5')}" }]

[[package]]
name = "colorama"
version = "0.4"
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "pytest"
version = "8.0"
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "importlib-metadata"
version = "8.0"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "tool"
version = "0.2"
source = { git = "https://example.org/tool.git?rev=main&subdirectory=py#abc123" }

[[package]]
name = "lib"
version = "0.1.0"
source = { editable = "packages/lib" }
`

test('uv.lock: what the project needs here, with hashes, extras and forks; nothing for development or Windows', () => {
  assert.deepEqual(uvLock(parseToml('uv.lock', uv), environment), {
    hashed: [
      `flask==3.1.0 --hash=${sha('1')} --hash=${sha('2')}`,
      `numpy==2.0 --hash=${sha('4')}`,
      `python-dotenv==1.0 --hash=${sha('5')}`,
    ],
    unhashed: ['tool @ git+https://example.org/tool.git@abc123#subdirectory=py'],
    paths: ['packages/lib'],
    indexes: ['https://mirror.example.org/simple'],
  })
})

const poetry = `
[[package]]
name = "Flask"
version = "3.1.0"
python-versions = ">=3.9"
groups = ["main"]
files = [{ file = "flask.whl", hash = "${sha('1')}" }]
[package.dependencies]
importlib-metadata = { version = ">=3.6", markers = "python_version < \\"3.10\\"" }
click = ">=8"
python-dotenv = { version = "*", optional = true }
[package.extras]
dotenv = ["python-dotenv"]

[[package]]
name = "click"
version = "8.1.0"
python-versions = ">=3.7"
files = [{ file = "click.whl", hash = "${sha('2')}" }]

[[package]]
name = "click"
version = "8.9.0"
python-versions = ">=3.12"
files = [{ file = "click.whl", hash = "${sha('3')}" }]

[[package]]
name = "importlib-metadata"
version = "8"
python-versions = "*"
files = []

[[package]]
name = "python-dotenv"
version = "1.0"
optional = true
python-versions = "*"
files = [{ file = "d.whl", hash = "${sha('4')}" }]

[[package]]
name = "pytest"
version = "8.0"
python-versions = "*"
groups = ["dev"]
files = [{ file = "p.whl", hash = "${sha('5')}" }]

[metadata]
lock-version = "2.1"
`

test('poetry.lock: along the main dependencies, in the version for this Python', () => {
  const lock = parseToml('poetry.lock', poetry)
  assert.deepEqual(poetryLock(lock, asked('flask>=3'), environment).hashed, [
    `Flask==3.1.0 --hash=${sha('1')}`,
    `click==8.1.0 --hash=${sha('2')}`,
  ])
  assert.deepEqual(
    poetryLock(lock, asked('flask[dotenv]'), environment).hashed.map(line => line.split(' ')[0]),
    ['Flask==3.1.0', 'click==8.1.0', 'python-dotenv==1.0'],
  )
})

test('poetry.lock of old: hashes stand in metadata.files', () => {
  const lock = parseToml(
    'poetry.lock',
    `[[package]]\nname = "flask"\nversion = "1.0"\ncategory = "main"\npython-versions = "*"\n[metadata.files]\nflask = [{ file = "f.whl", hash = "${sha('7')}" }]`,
  )
  assert.deepEqual(poetryLock(lock, asked('flask'), environment).hashed, [`flask==1.0 --hash=${sha('7')}`])
})

test('pdm.lock: the default group, what is for this machine', () => {
  const lock = parseToml(
    'pdm.lock',
    `
[[package]]
name = "flask"
version = "3.1.0"
groups = ["default"]
dependencies = ["click>=8"]
files = [{ file = "f.whl", hash = "${sha('1')}" }]
[[package]]
name = "flask"
version = "3.1.0"
extras = ["dotenv"]
groups = ["default"]
files = [{ file = "f.whl", hash = "${sha('1')}" }]
[[package]]
name = "colorama"
version = "0.4"
groups = ["default"]
marker = "sys_platform == \\"win32\\""
[[package]]
name = "pytest"
version = "8"
groups = ["test"]
`,
  )
  assert.deepEqual(pdmLock(lock, [], environment).hashed, [`flask==3.1.0 --hash=${sha('1')}`])
})

test('Pipfile.lock: the default section, with its index', () => {
  const locked = pipfileLock(
    {
      _meta: { sources: [{ name: 'mirror', url: 'https://mirror.example.org/simple/' }] },
      default: {
        flask: { version: '==3.1.0', hashes: [sha('1')], index: 'mirror' },
        colorama: { version: '==0.4', hashes: [sha('2')], markers: "sys_platform == 'win32'" },
        tool: { git: 'https://example.org/tool.git', ref: 'abc' },
      },
      develop: { pytest: { version: '==8.0' } },
    },
    environment,
  )
  assert.deepEqual(locked, {
    hashed: [`flask==3.1.0 --hash=${sha('1')}`],
    unhashed: ['tool @ git+https://example.org/tool.git@abc'],
    paths: [],
    indexes: ['https://mirror.example.org/simple'],
  })
})

test('a lock cannot write lines of its own into the list', () => {
  const lock = {
    default: { 'a\n--index-url http://evil': { version: '==1' }, b: { git: 'https://x/b\n-e /etc', ref: 'c' } },
  }
  assert.deepEqual(pipfileLock(lock, environment), { hashed: [], unhashed: [], paths: [], indexes: [] })
})
