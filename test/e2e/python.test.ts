import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CodeRunner, repository } from '../coderunner.ts'
import { PythonIndex, type PythonPackage, wheelHash } from '../python-index.ts'

const example = (name: string) => join(repository, 'examples', name)

/** As much of each as the examples use: a server that really serves, a framework that really answers. */
const flask: PythonPackage = {
  name: 'flask',
  version: '3.9.0',
  files: {
    'flask/__init__.py': `
class Flask:
    def __init__(self, name):
        self.views = {}
    def route(self, path):
        return lambda view: self.views.setdefault(path, view)
    def __call__(self, environ, start_response):
        view = self.views.get(environ["PATH_INFO"])
        start_response("200 OK" if view else "404 Not Found", [("content-type", "text/plain")])
        return [(view() if view else "nothing here").encode()]
`,
  },
}
const gunicorn: PythonPackage = {
  name: 'gunicorn',
  version: '23.9.0',
  scripts: { gunicorn: 'gunicorn:run' },
  files: {
    'gunicorn/__init__.py': `
import argparse, importlib, os, sys
from wsgiref.simple_server import make_server
def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind"); parser.add_argument("target")
    arguments = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    host, port = arguments.bind.split(":")
    module, name = arguments.target.split(":")
    application = getattr(importlib.import_module(module), name)
    print("gunicorn serves", arguments.target)
    make_server(host, int(port), application).serve_forever()
`,
  },
}
const fastapi: PythonPackage = {
  name: 'fastapi',
  version: '0.999.0',
  files: {
    'fastapi/__init__.py': `
import json
class FastAPI:
    def __init__(self, title=""):
        self.views = {}
    def get(self, path):
        return lambda view: self.views.setdefault(path, view)
    async def __call__(self, scope, receive, send):
        view = self.views.get(scope["path"])
        await send({"type": "http.response.start", "status": 200 if view else 404, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(await view() if view else {}).encode()})
`,
  },
}
const uvicorn: PythonPackage = {
  name: 'uvicorn',
  version: '0.999.0',
  scripts: { uvicorn: 'uvicorn:run' },
  files: {
    'uvicorn/__init__.py': `
import argparse, asyncio, importlib, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("target"); parser.add_argument("--host"); parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    sys.path.insert(0, os.getcwd())
    module, name = arguments.target.split(":")
    application = getattr(importlib.import_module(module), name)
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            async def send(message):
                if message["type"] == "http.response.start":
                    self.send_response(message["status"]); self.end_headers()
                else:
                    self.wfile.write(message["body"])
            asyncio.run(application({"type": "http", "path": self.path}, None, send))
    ThreadingHTTPServer((arguments.host, arguments.port), Handler).serve_forever()
`,
  },
}

interface Deployment {
  id: string
  status: string
  error?: { code: string; message: string }
  detection?: { runtime: string; framework?: string; install?: string }
  steps: { name: string; status: string }[]
  instances: { process: string; status: string }[]
}

describe('Python', { concurrency: false }, () => {
  let index: PythonIndex
  let coderunner: CodeRunner
  let folder: string

  before(async () => {
    index = await PythonIndex.start([flask, gunicorn, fastapi, uvicorn])
    coderunner = await CodeRunner.start({ CODERUNNER_EGRESS_ALLOW: index.egressAllow })
    folder = await mkdtemp(join(tmpdir(), 'coderunner-python-'))
  })
  after(async () => {
    await coderunner?.[Symbol.asyncDispose]()
    await index[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const newest = async (project: string): Promise<Deployment> => {
    const { items } = (await coderunner.api('GET', `/api/deployments?project=${project}`)) as {
      items: { id: string }[]
    }
    return (await coderunner.api('GET', `/api/deployments/${items[0]?.id ?? ''}`)) as Deployment
  }
  const project = async (files: Record<string, string>) => {
    const dir = await mkdtemp(join(folder, 'app-'))
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(dir, path)), { recursive: true })
      await writeFile(join(dir, path), text)
    }
    return dir
  }
  const fromIndex = () => ['--env', `PIP_INDEX_URL=${index.url}`, '--env', `PIP_TRUSTED_HOST=${index.address}`]
  const statusOf = ({ steps }: Deployment, name: string) => steps.find(step => step.name === name)?.status

  test('Flask by gunicorn; a redeploy with the same requirements installs nothing', async () => {
    const url = await coderunner.deploy(example('flask-hello'), 'flask-hello', ...fromIndex())
    assert.equal((await coderunner.visit(url)).body, 'Hello from Flask\n')
    const first = await newest('flask-hello')
    assert.deepEqual([first.detection?.runtime, first.detection?.framework], ['python', 'Flask'])
    assert.equal(statusOf(first, 'install'), 'SUCCEEDED')
    assert.ok(index.requests.includes('/simple/gunicorn/'))

    await coderunner.deploy(example('flask-hello'), 'flask-hello', '--env', 'GREETING=Good morning')
    assert.equal((await coderunner.visit(url)).body, 'Good morning from Flask\n')
    assert.equal(statusOf(await newest('flask-hello'), 'install'), 'SKIPPED')
  })

  test('FastAPI by uvicorn: the object that is there', async () => {
    const url = await coderunner.deploy(example('fastapi-hello'), 'fastapi-hello', ...fromIndex())
    assert.equal((await coderunner.visit(url)).body, '{"message": "Hello from FastAPI"}')
  })

  test('uv.lock is installed exactly, its hashes checked', async () => {
    const lock = (hash: string) => `version = 1
[[package]]
name = "shop"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "fastapi" }, { name = "uvicorn" }]
[[package]]
name = "fastapi"
version = "${fastapi.version}"
source = { registry = "${index.url}" }
wheels = [{ url = "x", hash = "${wheelHash(fastapi)}" }]
[[package]]
name = "uvicorn"
version = "${uvicorn.version}"
source = { registry = "${index.url}" }
wheels = [{ url = "x", hash = "${hash}" }]
`
    const files = {
      'pyproject.toml': '[project]\nname = "shop"\nversion = "0.1.0"\ndependencies = ["fastapi", "uvicorn"]\n',
      'shop/web.py':
        'from fastapi import FastAPI\nshop = FastAPI()\n@shop.get("/")\nasync def root():\n    return "locked"\n',
    }
    const trusted = ['--env', `PIP_TRUSTED_HOST=${index.address}`]
    const good = await project({ ...files, 'uv.lock': lock(wheelHash(uvicorn)) })
    const url = await coderunner.deploy(good, 'locked', ...trusted)
    assert.equal((await coderunner.visit(url)).body, '"locked"')

    const bad = await project({ ...files, 'uv.lock': lock(`sha256:${'0'.repeat(64)}`) })
    const { code, stderr } = await coderunner.cli(['deploy', bad, '--project', 'locked', ...trusted])
    assert.equal(code, 1)
    assert.match(stderr, /DO NOT MATCH THE HASHES|hash/i)
    assert.equal((await coderunner.visit(url)).body, '"locked"')
  })

  test('a plain script, without anything to install', async () => {
    const url = await coderunner.deploy(example('python-plain'), 'python-plain')
    assert.equal((await coderunner.visit(url)).body, 'Hello from plain Python\n')
    const run = await coderunner.cli(['run', '--project', 'python-plain', '--', 'python', '-c', 'print(6 * 7)'])
    assert.deepEqual([run.code, run.stdout], [0, '42\n'], run.stderr)
  })

  test('a Procfile: web answers, the worker runs beside it', async () => {
    const url = await coderunner.deploy(example('procfile-worker'), 'procfile-worker')
    assert.equal((await coderunner.visit(url)).body, 'Hello from the web process\n')
    const { id, instances } = await newest('procfile-worker')
    assert.deepEqual(instances.map(({ process, status }) => `${process} ${status}`).toSorted(), [
      'web RUNNING',
      'worker RUNNING',
    ])
    const { records } = (await coderunner.api('GET', `/api/deployments/${id}/logs`)) as {
      records: { message: string; instance: string }[]
    }
    assert.ok(records.some(({ message, instance }) => instance === 'worker.1' && /at work/.test(message)))
  })

  test('a release command runs before the version serves; one that fails leaves the one before', async () => {
    const files = (release: string, greeting: string) => ({
      Procfile: `web: python -m http.server --directory ${greeting} $PORT\nrelease: ${release}\n`,
      'check.py': 'import os, sys\nprint("checking", os.environ["CHECKED"])\nsys.exit(int(sys.argv[1]))\n',
      [`${greeting}/index.html`]: greeting,
    })
    const url = await coderunner.deploy(
      await project(files('python check.py 0', 'one')),
      'released',
      '--env',
      'CHECKED=yes',
    )
    assert.equal((await coderunner.visit(url)).body, 'one')
    assert.equal(statusOf(await newest('released'), 'release'), 'SUCCEEDED')
    const again = await project(files('python check.py 3', 'two'))
    const { code, stderr } = await coderunner.cli(['deploy', again, '--project', 'released'])
    assert.equal(code, 1)
    assert.match(stderr, /“python check\.py 3” ended with code 3.*\n?.*checking yes/)
    const failed = await newest('released')
    assert.deepEqual([failed.status, statusOf(failed, 'release'), failed.instances.length], ['FAILED', 'FAILED', 0])
    assert.equal((await coderunner.visit(url)).body, 'one')
  })

  test('what is wrong is said in words', async () => {
    for (const [files, message] of [
      [{ 'main.py': '', 'requirements.txt': 'nowhere-to-be-found==1\n' }, /nowhere-to-be-found/],
      [{ 'main.py': '', '.python-version': '3.13' }, /asks for Python 3\.13/],
      [{ 'main.py': '', 'coderunner.yaml': 'strat: x\n' }, /line 1, column 1.*did you mean start/],
      [{ Dockerfile: 'FROM scratch' }, /Dockerfile/],
    ] as const) {
      const { code, stderr } = await coderunner.cli([
        'deploy',
        await project(files),
        '--project',
        'wrong',
        ...fromIndex(),
      ])
      assert.equal(code, 1)
      assert.match(stderr, message)
    }
  })
})
