import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SourceEntry } from '../sources/source-tree.ts'
import { siteWithRules, staticSite } from './static-site.ts'

const file = (path: string): SourceEntry => ({ path, hash: 'a'.repeat(64), size: 1, executable: false })
const paths = (root: string, ...tree: SourceEntry[]) => staticSite(tree, root).files.map(({ path }) => path)

test('what lies below the root, without hidden files', () => {
  const tree = [
    file('index.html'),
    file('.env'),
    file('.git/x'),
    file('.well-known/a'),
    file('css/.x/y'),
    file('css/a'),
  ]
  assert.deepEqual(paths('.', ...tree), ['/index.html', '/.well-known/a', '/css/a'])
  assert.deepEqual(paths('public', file('server.js'), file('public/a'), file('publicity')), ['/a'])
})

test('links are resolved, never to the outside or to hidden files', () => {
  const links = [
    { path: 'public/b', link: '../shared/b' },
    { path: 'public/c', link: '../.env' },
    { path: 'public/d', link: '../../x' },
    { path: 'public/e', link: 'nowhere' },
  ]
  assert.deepEqual(paths('public', file('public/a'), file('shared/b'), file('.env'), ...links), ['/a', '/b'])
})

test('an empty site is refused', () => {
  assert.throws(() => staticSite([file('.env')], '.'), { code: 'nothing_to_run' })
})

test('rules are read from the site and its project, and are not published themselves', async () => {
  const contents: Record<string, string> = {
    'public/_redirects': '/a /b\n/c\n',
    'public/_headers': '/*\n  X-A: 1\n',
    Staticfile: 'root: public\npushstate: enabled\n',
  }
  const tree = [...Object.keys(contents), 'public/index.html'].map(path => ({ ...file(path), hash: path }))
  const { rules, warnings } = await siteWithRules({
    tree,
    root: 'public',
    indexFallback: false,
    read: async hash => Buffer.from(contents[hash] ?? ''),
  })
  assert.deepEqual(
    rules.files.map(({ path }) => path),
    ['/index.html'],
  )
  assert.equal(rules.indexFallback, true)
  assert.deepEqual(rules.redirects, [{ from: '/a', to: '/b', status: 301, force: false }])
  assert.deepEqual(rules.headers, [{ for: '/*', headers: [['X-A', '1']] }])
  assert.deepEqual(warnings, ['_redirects, line 2: there is no target.'])
})
