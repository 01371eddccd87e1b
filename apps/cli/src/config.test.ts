import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readConfig } from './config.ts'
import { UsageError } from './usage-error.ts'

test('without any variable there are defaults', () => {
  const settings = readConfig({ HOME: '/home/a' })
  assert.equal(settings.url, 'http://127.0.0.1:3000')
  assert.equal(settings.token, undefined)
  assert.equal(settings.credentialsFile, '/home/a/.config/coderunner/credentials.json')
  assert.deepEqual([settings.ci, settings.noColour], [false, false])
})

test('variables are honoured, and a server has one spelling', () => {
  const settings = readConfig({
    HOME: '/home/a',
    XDG_CONFIG_HOME: '/cfg',
    CODERUNNER_URL: 'HTTPS://Example.com:443/cr/',
    CODERUNNER_TOKEN: ' t\n',
    CI: 'true',
    NO_COLOR: '1',
  })
  assert.equal(settings.url, 'https://example.com/cr')
  assert.equal(settings.token, 't')
  assert.equal(settings.credentialsFile, '/cfg/coderunner/credentials.json')
  assert.deepEqual([settings.ci, settings.noColour], [true, true])
  assert.equal(
    readConfig({ HOME: '/h', XDG_CONFIG_HOME: 'relative' }).credentialsFile,
    '/h/.config/coderunner/credentials.json',
  )
})

test('an address that is none is refused without showing a password in it', () => {
  for (const url of ['localhost:3000', 'ftp://x', 'nonsense', 'http://user:secret@host'])
    assert.throws(
      () => readConfig({ HOME: '/h', CODERUNNER_URL: url }),
      (error: Error) => error instanceof UsageError && !error.message.includes('secret'),
      url,
    )
})
