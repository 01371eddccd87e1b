import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ConfigError, readConfig } from './config.ts'

suite('configuration of coderunnerd', () => {
  test('has an answer for everything', () => {
    const config = readConfig({}, true)
    assert.deepEqual(config.listen, { host: '127.0.0.1', isLoopback: true })
    assert.equal(config.appsDomain, 'localhost')
    assert.equal(config.dataDir, '/var/lib/coderunner')
    assert.deepEqual(config.database, { kind: 'embedded' })
    assert.deepEqual(config.accounts, { server: 990_001, ingress: 990_002, postgres: 990_003 })
    assert.equal(config.onExit, 'keep')
  })

  test('reports everything that is wrong at once', () => {
    const env = { CODERUNNER_PORT: '70000', CODERUNNER_RUNTIME: 'docker', CODERUNNER_EGRESS_ALLOW: '10.0.0.0/8,evil' }
    assert.throws(
      () => readConfig(env, true),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError)
        assert.equal(error.problems.length, 3)
        assert.match(error.message, /CODERUNNER_PORT is “70000”, but has to be a port/)
        return true
      },
    )
  })

  test('hands secrets to the server alone, and nothing it does not know to anybody', () => {
    const { environment } = readConfig({ CODERUNNER_SECRET_KEY: 'k', CODERUNNER_PORT: '0', AWS_SECRET: 's' }, true)
    assert.deepEqual(environment, { shared: { CODERUNNER_PORT: '0' }, server: { CODERUNNER_SECRET_KEY: 'k' } })
  })

  test('does not open a runtime without isolation to the network', () => {
    assert.throws(() => readConfig({ CODERUNNER_RUNTIME: 'process', CODERUNNER_HOST: '0.0.0.0' }, false), ConfigError)
    assert.equal(readConfig({ CODERUNNER_RUNTIME: 'process', CODERUNNER_HOST: '127.0.0.2' }, false).runtime, 'process')
  })

  test('without isolation programs are found where the account finds them, but not in our own repository', () => {
    const PATH = '/repo/node_modules/.bin:/home/me/.nvm/versions/node/v24/bin:.:/usr/bin'
    const { searchPath } = readConfig({ CODERUNNER_RUNTIME: 'process', PATH }, false)
    assert.equal(searchPath, '/home/me/.nvm/versions/node/v24/bin:/usr/bin')
    assert.equal(readConfig({ PATH }, true).searchPath, '/usr/local/bin:/usr/bin:/bin')
  })

  test('an empty value is the default', () => {
    assert.equal(readConfig({ CODERUNNER_HOST: '', DATABASE_URL: '' }, true).listen.host, '127.0.0.1')
  })
})
