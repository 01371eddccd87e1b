import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readMachineRegistry } from './machine-registry.ts'

test('a builder gets the registry and proxy of the machine, the nearest setting first, and no credentials', () => {
  const home = mkdtempSync(join(tmpdir(), 'crnpm-'))
  try {
    const lines = [
      'registry=https://user:secret@npm.example.com/repo/',
      '//npm.example.com/repo/:_authToken=secret',
      'https-proxy = "http://proxy.example.com:3128"',
      'noproxy=${INTERNAL}',
      'strict-ssl=false',
    ]
    writeFileSync(join(home, '.npmrc'), lines.join('\n'))
    const { env, hosts } = readMachineRegistry(
      { npm_config_https_proxy: 'http://other.example.com:1/', INTERNAL: '.internal', NODE_EXTRA_CA_CERTS: '/ca.pem' },
      [home],
    )
    assert.deepEqual(env, {
      npm_config_registry: 'https://npm.example.com/repo/',
      npm_config_strict_ssl: 'false',
      npm_config_cafile: '/etc/ssl/certs/ca-certificates.crt',
      NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt',
      HTTPS_PROXY: 'http://other.example.com:1/',
      NO_PROXY: '.internal',
    })
    assert.deepEqual(hosts, ['npm.example.com', 'other.example.com'])
    assert.ok(!JSON.stringify(env).includes('secret'))
  } finally {
    rmSync(home, { recursive: true })
  }
})
