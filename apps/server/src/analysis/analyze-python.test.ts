import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AnalysisContext, Wishes } from './analysis-context.ts'
import { analyzePython } from './analyze-python.ts'
import { Findings } from './findings.ts'
import { projectFiles } from './project-files.ts'

async function analyze(contents: Record<string, string>, more: Partial<AnalysisContext> = {}) {
  const files = projectFiles(Object.keys(contents), path => Promise.resolve(Buffer.from(contents[path] ?? '')))
  const findings = new Findings()
  const wishes: Wishes = {}
  const versions = {
    defaultNode: '24.0.0',
    node: () => Promise.resolve(undefined),
    packageManager: () => Promise.resolve(undefined),
  }
  const found = await analyzePython({ files, wishes, processes: undefined, findings, versions, ...more })
  return { found, warnings: findings.warnings.join('\n'), notes: findings.notes.join('\n') }
}

const startOf = async (contents: Record<string, string>): Promise<string | undefined> =>
  (await analyze(contents)).found?.processes[0]?.command

const flask = 'from flask import Flask\napp = Flask(__name__)\n'
const fastapi = 'from fastapi import FastAPI\n\napi = FastAPI(title="x")\n'

describe('start', () => {
  for (const [what, files, command] of [
    [
      'Flask with gunicorn',
      { 'app.py': flask, 'requirements.txt': 'Flask==3\ngunicorn\n' },
      'gunicorn --bind 0.0.0.0:$PORT app:app',
    ],
    [
      'Flask alone',
      { 'app.py': flask, 'requirements.txt': 'flask' },
      "FLASK_APP='app:app' flask run --host 0.0.0.0 --port $PORT",
    ],
    [
      'FastAPI: the file and the object that are there',
      { 'server.py': fastapi, 'requirements.txt': 'fastapi\nuvicorn[standard]' },
      'uvicorn server:api --host 0.0.0.0 --port $PORT',
    ],
    [
      'FastAPI that brings its server',
      { 'main.py': fastapi, 'requirements.txt': 'fastapi[standard]>=0.115' },
      'uvicorn main:api --host 0.0.0.0 --port $PORT',
    ],
    [
      'a package',
      { 'shop/__init__.py': '', 'shop/web.py': fastapi, 'requirements.txt': 'fastapi\nuvicorn' },
      'uvicorn shop.web:api --host 0.0.0.0 --port $PORT',
    ],
    [
      'a src folder',
      { 'src/shop/__init__.py': '', 'src/shop/web.py': fastapi, 'requirements.txt': 'fastapi\nuvicorn' },
      'uvicorn --app-dir src shop.web:api --host 0.0.0.0 --port $PORT',
    ],
    [
      'a folder whose modules import each other by bare name',
      { 'backend/main.py': `import models\n${flask}`, 'backend/models.py': '', 'requirements.txt': 'flask\ngunicorn' },
      'gunicorn --pythonpath backend --bind 0.0.0.0:$PORT main:app',
    ],
    [
      'a factory',
      {
        'shop/__init__.py':
          'from flask import Flask\n\ndef create_app(config=None):\n    app = Flask(__name__)\n    return app\n',
        'requirements.txt': 'flask\ngunicorn',
      },
      "gunicorn --bind 0.0.0.0:$PORT 'shop:create_app()'",
    ],
    [
      'a factory for uvicorn',
      {
        'main.py': 'from fastapi import FastAPI\n\ndef create_app() -> FastAPI:\n    return FastAPI()\n',
        'requirements.txt': 'fastapi\nuvicorn',
      },
      'uvicorn --factory main:create_app --host 0.0.0.0 --port $PORT',
    ],
    [
      'an object made by a factory elsewhere',
      {
        'wsgi.py': 'from shop import create_app\n\napp = create_app()\n',
        'shop/__init__.py': 'from flask import Flask\n\ndef create_app():\n    app = Flask(__name__)\n    return app\n',
        'requirements.txt': 'flask\ngunicorn',
      },
      'gunicorn --bind 0.0.0.0:$PORT wsgi:app',
    ],
    [
      'a typed object, not the one of a docstring or a comment',
      {
        'main.py':
          '"""\nwrong = FastAPI()\n"""\n# no = FastAPI()\nimport fastapi\nright: fastapi.FastAPI = fastapi.FastAPI(\n  title="x",\n)\n',
        'requirements.txt': 'fastapi\nuvicorn',
      },
      'uvicorn main:right --host 0.0.0.0 --port $PORT',
    ],
    ['a script', { 'main.py': 'print(1)' }, 'python main.py'],
    ['a script of the usual names', { 'hello.py': '', 'other.py': '' }, 'python hello.py'],
    [
      'FastAPI without a known server that starts itself',
      {
        'main.py': `${fastapi}if __name__ == "__main__":\n    import uvicorn\n    uvicorn.run(api)\n`,
        'requirements.txt': 'fastapi',
      },
      'python main.py',
    ],
    ['a module', { 'shop/__main__.py': '', 'requirements.txt': '' }, 'python -m shop'],
    [
      'the only script of pyproject.toml',
      { 'pyproject.toml': '[project]\nname="x"\n[project.scripts]\nshop-web = "shop:main"' },
      'shop-web',
    ],
    [
      'Streamlit',
      { 'dashboard.py': 'import streamlit as st\n', 'requirements.txt': 'streamlit' },
      'streamlit run dashboard.py --server.address 0.0.0.0 --server.port $PORT --server.headless true',
    ],
  ] as const)
    test(what, async () => assert.equal(await startOf(files), command))

  test('a bot takes no requests', async () => {
    const { found } = await analyze({ 'bot.py': 'import discord\n', 'requirements.txt': 'discord.py' })
    assert.deepEqual(found?.processes, [{ type: 'worker', command: 'python bot.py', count: 1 }])
  })

  test('FastAPI without any server is told which to add', async () => {
    await assert.rejects(
      analyze({ 'main.py': fastapi, 'requirements.txt': 'fastapi' }),
      /main\.py has api, a FastAPI application.*Add uvicorn/s,
    )
  })

  test('known processes need no start', async () => {
    const processes = [{ type: 'web', command: 'python x.py', count: 1 }]
    const { found } = await analyze({ 'requirements.txt': '' }, { processes })
    assert.deepEqual(found?.processes, processes)
  })

  test('a Procfile that runs Python is sign enough', async () => {
    const processes = [{ type: 'worker', command: 'python work.py', count: 1 }]
    assert.equal((await analyze({ 'work.py': '' }, { processes })).found?.runtime, 'python')
    assert.equal((await analyze({ 'work.js': '' }, { processes })).found, undefined)
  })

  test('nothing to start: undefined, with a note', async () => {
    const { found, notes } = await analyze({ 'requirements.txt': 'flask', 'lib.py': '' })
    assert.equal(found, undefined)
    assert.match(notes, /requirements\.txt/)
  })

  test('no Python at all', async () => assert.equal((await analyze({ 'index.html': '' })).found, undefined))
})

describe('Django', () => {
  const manage =
    "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\nfrom django.core.management import execute_from_command_line\n"
  const settings =
    "WSGI_APPLICATION = 'shop.wsgi.application'\nSTATIC_ROOT = BASE / 'static'\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}\n"

  test('gunicorn, migrations as release, static files in the build', async () => {
    const { found } = await analyze({
      'manage.py': manage,
      'shop/settings.py': settings,
      'shop/wsgi.py': '',
      'requirements.txt': 'Django>=5\ngunicorn',
    })
    assert.equal(found?.framework, 'Django')
    assert.equal(found?.processes[0]?.command, 'gunicorn --bind 0.0.0.0:$PORT shop.wsgi:application')
    assert.equal(found?.release, 'python manage.py migrate --noinput')
    assert.equal(found?.build, 'python manage.py collectstatic --noinput')
  })

  test('below a folder, by ASGI', async () => {
    const { found } = await analyze({
      'backend/manage.py': manage,
      'backend/shop/settings/__init__.py': '',
      'backend/shop/settings/base.py': "ASGI_APPLICATION = 'shop.asgi.application'\n",
      'backend/shop/settings.py': "ASGI_APPLICATION = 'shop.asgi.application'\n",
      'backend/shop/asgi.py': '',
      'requirements.txt': 'django\nuvicorn\n',
    })
    assert.equal(
      found?.processes[0]?.command,
      'uvicorn --app-dir backend shop.asgi:application --host 0.0.0.0 --port $PORT',
    )
    assert.equal(found?.release, 'python backend/manage.py migrate --noinput')
    assert.equal(found?.build, undefined)
  })

  test('a SQLite file is migrated where it lies, and said to be lost', async () => {
    const { found, warnings } = await analyze({
      'manage.py': manage,
      'shop/settings.py': "ENGINE = 'django.db.backends.sqlite3'",
      'shop/wsgi.py': '',
      'requirements.txt': 'django\ngunicorn',
    })
    assert.equal(
      found?.processes[0]?.command,
      'python manage.py migrate --noinput && exec gunicorn --bind 0.0.0.0:$PORT shop.wsgi:application',
    )
    assert.equal(found?.release, undefined)
    assert.match(warnings, /SQLite/)
  })

  test('without a server: not runserver', async () => {
    await assert.rejects(
      analyze({ 'manage.py': manage, 'shop/settings.py': settings, 'shop/wsgi.py': '', 'requirements.txt': 'django' }),
      /Add gunicorn/,
    )
  })
})

describe('version', () => {
  for (const [file, text] of [
    ['.python-version', '3.11\n'],
    ['.python-version', '# pyenv\n3.11.9\n'],
    ['runtime.txt', 'python-3.11.4'],
    ['.tool-versions', 'nodejs 20\npython 3.11.2\n'],
    ['pyproject.toml', '[project]\nname="x"\nrequires-python = ">=3.9"'],
    ['pyproject.toml', '[tool.poetry.dependencies]\npython = "^3.9"'],
    ['Pipfile', '[requires]\npython_version = "3.11"'],
  ] as const)
    test(`${file}: ${JSON.stringify(text)} fits`, async () =>
      assert.equal((await analyze({ 'main.py': '', [file]: text })).found?.pythonVersion, '3.11.2'))

  for (const [file, text, message] of [
    ['.python-version', '3.12', /\.python-version asks for Python 3\.12, and sandboxes have Python 3\.11\.2/],
    ['runtime.txt', 'python-2.7.18', /runtime\.txt asks for Python 2\.7\.18/],
    [
      'pyproject.toml',
      '[project]\nname="x"\nrequires-python = ">=3.12"',
      /requires-python of pyproject\.toml asks for Python >=3\.12/,
    ],
    ['.python-version', 'pypy3.10', /CPython 3\.11 only/],
  ] as const)
    test(`${file}: ${JSON.stringify(text)} does not fit`, () =>
      assert.rejects(analyze({ 'main.py': '', [file]: text }), message))
})

describe('dependencies', () => {
  const installOf = async (contents: Record<string, string>) =>
    (await analyze({ 'main.py': '', ...contents })).found?.install

  test('requirements.txt', async () =>
    assert.equal(await installOf({ 'requirements.txt': 'x' }), 'pip install -r requirements.txt'))
  test('pyproject.toml without a lock', async () =>
    assert.equal(
      await installOf({ 'pyproject.toml': '[project]\nname="x"\ndependencies=["flask>=3", "gunicorn"]' }),
      "pip install 'flask>=3' gunicorn",
    ))
  test('Poetry without a lock', async () =>
    assert.equal(
      await installOf({ 'pyproject.toml': '[tool.poetry.dependencies]\npython="^3.10"\nflask="^3.0"' }),
      "pip install 'flask>=3.0,<4'",
    ))
  test('Pipfile', async () =>
    assert.equal(await installOf({ Pipfile: '[packages]\nflask = "*"' }), 'pip install flask'))
  test('none', async () => assert.equal(await installOf({}), 'python3 -m venv --without-pip .venv'))

  test('the project itself where it is a package', async () => {
    const { found } = await analyze({
      'pyproject.toml':
        '[build-system]\nrequires=["hatchling"]\n[project]\nname="x"\ndependencies=["flask"]\n[project.scripts]\nx="x:main"',
    })
    assert.equal(found?.build, 'pip install -e .')
    assert.equal(found?.processes[0]?.command, 'x')
  })

  test('folders of the project wait for the source', async () => {
    const { found } = await analyze({
      'main.py': '',
      'requirements.txt': '-r base.txt\n-e ./lib\nflask',
      'base.txt': 'gunicorn',
    })
    assert.equal(found?.build, 'pip install -e ./lib')
  })

  test('an included file that is missing', async () => {
    await assert.rejects(
      analyze({ 'main.py': '', 'requirements.txt': '-r base.txt' }),
      /requirements\.txt includes base\.txt/,
    )
  })

  test('two managers at once are named', async () => {
    await assert.rejects(
      analyze({ 'main.py': '', 'requirements.txt': '', 'poetry.lock': '' }),
      /requirements\.txt \(pip\) and poetry\.lock \(Poetry\)/,
    )
  })

  for (const name of [
    'requirment.txt',
    'requirments.txt',
    'Requirements.txt',
    'requirements.txt.txt',
    'requirements.text',
  ])
    test(`${name} is named`, () =>
      assert.rejects(
        analyze({ 'main.py': '', [name]: 'flask' }),
        new RegExp(`${name}.*rename it to requirements\\.txt`),
      ))

  test('TOML that does not parse names the place', async () => {
    await assert.rejects(
      analyze({ 'main.py': '', 'pyproject.toml': '[project]\nname = x\n' }),
      /pyproject\.toml is not valid TOML: .* at line 2, column \d+: name = x/,
    )
  })
})
