import assert from 'node:assert/strict'
import { test } from 'node:test'
import { normalPath, pathProblem, resolveInTree, type SourceEntry, treeHash } from './source-tree.ts'

const file = (path: string, hash = 'a'.repeat(64)): SourceEntry => ({ path, hash, size: 1, executable: false })

test('paths are brought to one form', () => {
  assert.equal(normalPath('./a//b/./c/'), 'a/b/c')
  assert.equal(normalPath('./'), '')
  assert.equal(normalPath('//etc'), '/etc')
  assert.equal(pathProblem('a/b c/文件'), undefined)
  assert.match(pathProblem('\ud800') ?? '', /UTF-8/)
})

test('the hash does not depend on the order but on everything else', () => {
  const hash = treeHash([file('a'), file('b')])
  assert.equal(treeHash([file('b'), file('a')]), hash)
  assert.notEqual(treeHash([file('a'), file('c')]), hash)
  assert.notEqual(treeHash([file('a'), { ...file('b'), executable: true }]), hash)
  assert.notEqual(treeHash([file('a'), { path: 'b', link: 'a' }]), hash)
})

test('links are followed as the kernel follows them', () => {
  const tree: SourceEntry[] = [file('real/index.html'), { path: 'www', link: 'real' }, { path: 'loop', link: 'loop' }]
  const entries = new Map(tree.map(entry => [entry.path, entry]))
  assert.deepEqual(resolveInTree(entries, 'www/index.html'), tree[0])
  assert.equal(resolveInTree(entries, 'www'), undefined)
  assert.equal(resolveInTree(entries, 'loop'), 'outside')
})
