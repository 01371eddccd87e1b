import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gitCredentials, gitLocation } from './git-source.ts'

const urlOf = (url: string, httpHosts: string[] = []) => gitLocation({ url }, httpHosts).url

test('https URLs are taken; ssh forms lead to the same repository by https', () => {
  assert.equal(urlOf('https://github.com/o/r.git'), 'https://github.com/o/r.git')
  assert.equal(urlOf('https://Example.com:8443/a/b?x#y'), 'https://example.com:8443/a/b')
  for (const ssh of ['git@github.com:o/r.git', 'ssh://git@github.com/o/r.git', 'ssh://git@github.com:22/o/r.git'])
    assert.equal(urlOf(ssh), 'https://github.com/o/r.git')
})

test('everything else is refused, and no message repeats a password', () => {
  for (const url of [
    '',
    '-oProxyCommand=x',
    '--upload-pack=touch /tmp/x',
    'ext::sh -c id',
    'fd::17',
    'file:///etc',
    '/etc',
    './x',
    'git://host/x',
    'http://host/x',
    'ftp://host/x',
    'https://user:secret@host/x',
    'https://secret@host/x',
    'ssh://git:secret@host/x',
    'ssh://git@host:2222/x',
    'ssh://-oProxyCommand=x/y',
    'git@-oProxyCommand=x:y',
    'https://host',
    'https:///x',
    'https://ho st/x',
    'https://host/x\ny',
    'host:/etc/passwd',
    'host:22/x',
    'C:\\repository',
    'https:\\\\host\\x',
  ])
    assert.throws(
      () => urlOf(url),
      (error: Error & { code?: string }) => error.code === 'invalid_request' && !error.message.includes('secret'),
      url,
    )
})

test('plain http is for hosts that were named', () => {
  assert.equal(urlOf('http://10.0.0.1:8080/r', ['10.0.0.1:8080']), 'http://10.0.0.1:8080/r')
  assert.throws(() => urlOf('http://10.0.0.1:8081/r', ['10.0.0.1:8080']), { code: 'invalid_request' })
})

test('refs are names of branches, tags and commits, never options or revisions', () => {
  const refOf = (ref: string) => gitLocation({ url: 'https://h/r', ref }).ref
  for (const ref of ['main', 'v1.2.3', 'feature/a-b_c', 'refs/heads/x', 'a'.repeat(40), 'release@2', 'fix#12'])
    assert.equal(refOf(ref), ref)
  for (const ref of [
    '',
    '-x',
    '--upload-pack=x',
    'a..b',
    'a b',
    'a:b',
    '+a',
    'a^',
    'a~1',
    '@{u}',
    '@',
    'a.lock',
    'a/',
    '/a',
    'a//b',
    'a\n',
    '*',
  ])
    assert.throws(() => refOf(ref), { code: 'invalid_request' }, ref)
})

test('the folder lies within', () => {
  const directoryOf = (directory: string) => gitLocation({ url: 'https://h/r', directory }).directory
  assert.equal(directoryOf('./apps//web/'), 'apps/web')
  assert.equal(directoryOf('.'), undefined)
  for (const directory of ['..', 'a/../..', '/etc'])
    assert.throws(() => directoryOf(directory), { code: 'invalid_request' })
})

test('a token may bring its user', () => {
  assert.deepEqual(gitCredentials('abc'), { user: 'x-access-token', password: 'abc' })
  assert.deepEqual(gitCredentials('bot:a:b'), { user: 'bot', password: 'a:b' })
})
