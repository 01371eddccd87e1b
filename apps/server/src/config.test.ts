import assert from 'node:assert/strict'
import test from 'node:test'
import { ConfigError, readConfig } from './config.ts'

const least = { DATABASE_URL: 'postgres:///x', CODERUNNER_SERVER_DATA: '/data' }

test('on loopback: open registration and applications below localhost', () => {
  const config = readConfig(least)
  assert.equal(config.publicUrl, 'http://localhost:3000')
  assert.deepEqual(config.apps, { scheme: 'http', domain: 'localhost', host: 'localhost', port: 3080 })
  assert.deepEqual([config.loopbackOnly, config.registration.mode], [true, 'open'])
})

test('on any other address: closed registration and a port for each project', () => {
  const config = readConfig({ ...least, CODERUNNER_HOST: '0.0.0.0', CODERUNNER_PUBLIC_URL: 'http://192.0.2.7:3000' })
  assert.deepEqual(config.apps, { scheme: 'http', host: '192.0.2.7', port: 3080 })
  assert.deepEqual([config.loopbackOnly, config.registration.mode], [false, 'closed'])
  // Behind a proxy of the same machine the listener is on loopback and the world comes in all the same.
  assert.equal(readConfig({ ...least, CODERUNNER_PUBLIC_URL: 'https://x.example.com' }).loopbackOnly, false)
})

test('all that is wrong is said at once', () => {
  const env = {
    CODERUNNER_PORT: '70000',
    CODERUNNER_PUBLIC_URL: 'example.com',
    CODERUNNER_PROJECT_PORTS: '9-1',
    CODERUNNER_SECRET_KEY: 'short',
    CODERUNNER_REGISTRATION: 'maybe',
    CODERUNNER_SERVER_DATA: '',
  }
  assert.throws(
    () => readConfig(env),
    (error: ConfigError) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual(error.problems.map(problem => problem.replace(/ .*/, '')).sort(), [
        'CODERUNNER_PORT',
        'CODERUNNER_PROJECT_PORTS',
        'CODERUNNER_PUBLIC_URL',
        'CODERUNNER_REGISTRATION',
        'CODERUNNER_SECRET_KEY',
        'CODERUNNER_SERVER_DATA',
        'DATABASE_URL',
      ])
      return true
    },
  )
})

test('without isolation: one account, on loopback, or not at all', () => {
  const process = { ...least, CODERUNNER_RUNTIME: 'process' }
  assert.equal(readConfig(process).registration.mode, 'closed')
  assert.throws(() => readConfig({ ...process, CODERUNNER_REGISTRATION: 'open' }), ConfigError)
  assert.throws(() => readConfig({ ...process, CODERUNNER_HOST: '0.0.0.0' }), ConfigError)
  assert.throws(() => readConfig({ ...process, CODERUNNER_PUBLIC_URL: 'https://x.example.com' }), ConfigError)
})

test('builders get the variables that coderunnerd found on the machine', () => {
  const given = { npm_config_registry: 'http://registry.test/' }
  const { builderEnvironment } = readConfig({ ...least, CODERUNNER_BUILD_ENV: JSON.stringify(given) })
  assert.deepEqual(builderEnvironment, given)
  assert.throws(() => readConfig({ ...least, CODERUNNER_BUILD_ENV: '{"a": 1}' }), ConfigError)
})
