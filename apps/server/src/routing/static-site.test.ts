import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SourceEntry } from '../sources/source-tree.ts'
import { staticSite } from './static-site.ts'

const file = (path: string): SourceEntry => ({ path, hash: 'a'.repeat(64), size: 1, executable: false })
const paths = (root: string, ...tree: SourceEntry[]) => staticSite(tree, root).files.map(({ path }) => path)

test('what lies below the root, without hidden files', () => {
  const tree = [file('index.html'), file('.env'), file('.git/x'), file('.well-known/a'), file('css/.x/y'), file('css/a')]
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
