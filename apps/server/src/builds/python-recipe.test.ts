import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SourceTree } from '../sources/source-tree.ts'
import { pythonRecipe, runtimeEnvironment } from './python-recipe.ts'

async function recipeOf(contents: Record<string, string>, build?: string) {
  const tree: SourceTree = Object.keys(contents).map(path => ({ path, hash: path, size: 1, executable: false }))
  const detection = { runtime: 'python' as const, processes: [], findings: [], warnings: [] }
  const read = (path: string) => Promise.resolve(contents[path])
  return pythonRecipe({ ...detection, ...(build === undefined ? {} : { build }) }, tree, read, 'x64')
}

const argvs = (commands: readonly { argv: readonly string[] }[] = []) => commands.map(({ argv }) => argv.join(' '))

test('requirements with what they include, without folders of the project', async () => {
  const { dependencies, build } = await recipeOf(
    {
      'requirements.txt': '-r base.txt\n-e ./lib\nflask\n--index-url https://${TOKEN}@example.org/simple\n',
      'base.txt': 'gunicorn\n',
    },
    'pip install -e ./lib',
  )
  assert.deepEqual(dependencies?.files, ['requirements.txt', 'base.txt'])
  assert.deepEqual(argvs(dependencies?.install), [
    'python3 -m venv --without-pip .venv',
    'pip install -r requirements.txt',
  ])
  assert.doesNotMatch(dependencies?.replace?.['requirements.txt'] ?? '', /lib/)
  assert.ok(dependencies?.variables?.includes('TOKEN'))
  assert.ok(dependencies?.variables?.includes('PIP_INDEX_URL'))
  assert.deepEqual(argvs(build), ['pip install -e ./lib'])
})

test('a lock file is replaced by the list that pip reads', async () => {
  const hash = `sha256:${'a'.repeat(64)}`
  const { dependencies } = await recipeOf({
    'Pipfile.lock': JSON.stringify({ default: { flask: { version: '==3.1.0', hashes: [hash] } } }),
  })
  assert.deepEqual(argvs(dependencies?.install).slice(1), ['pip install --no-deps --require-hashes -r Pipfile.lock'])
  assert.deepEqual(dependencies?.replace, { 'Pipfile.lock': `flask==3.1.0 --hash=${hash}\n` })
})

test('what is asked for is the key: a change elsewhere in pyproject.toml installs nothing', async () => {
  const pyproject = (version: string) => `[project]\nname = "x"\nversion = "${version}"\ndependencies = ["flask>=3"]\n`
  const one = await recipeOf({ 'pyproject.toml': pyproject('1') })
  const two = await recipeOf({ 'pyproject.toml': pyproject('2') })
  assert.deepEqual(one.dependencies, two.dependencies)
  assert.deepEqual(one.dependencies?.files, [])
})

test('static files are collected unless the project says not to', async () => {
  const { build } = await recipeOf({}, 'python manage.py collectstatic --noinput')
  assert.equal(build[0]?.label, 'python manage.py collectstatic --noinput')
  assert.match(build[0]?.argv.join(' ') ?? '', /^sh -c case "\$\{DISABLE_COLLECTSTATIC:-0\}" in 0\)/)
})

test('everything of a Python release finds its packages and writes its output at once', () => {
  assert.match(runtimeEnvironment({ runtime: 'python' })['PATH'] ?? '', /^\/app\/\.venv\/bin:/)
  assert.equal(runtimeEnvironment({ runtime: 'python' })['PYTHONUNBUFFERED'], '1')
  assert.deepEqual(runtimeEnvironment({ runtime: 'nodejs' }), {})
})
