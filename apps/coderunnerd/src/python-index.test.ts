import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readPythonIndex } from './python-index.ts'

test('a builder gets the package index of the machine without its credentials', () => {
  const home = mkdtempSync(join(tmpdir(), 'crpip-'))
  try {
    mkdirSync(join(home, '.config/pip'), { recursive: true })
    const lines = [
      '[global]',
      'index-url = https://user:secret@pypi.example.com/simple',
      'extra-index-url =',
      '    https://token:secret@more.example.com/simple',
      '    file:///srv/wheels',
      'trusted-host = pypi.example.com',
      '[list]',
      'index-url = https://other.example.com/',
    ]
    writeFileSync(join(home, '.config/pip/pip.conf'), lines.join('\n'))
    assert.deepEqual(readPythonIndex({}, [home]), {
      PIP_INDEX_URL: 'https://pypi.example.com/simple',
      PIP_EXTRA_INDEX_URL: 'https://more.example.com/simple',
      PIP_TRUSTED_HOST: 'pypi.example.com',
    })
    const over = readPythonIndex({ PIP_INDEX_URL: 'http://10.0.0.9:3141/root' }, [home])
    assert.equal(over.PIP_INDEX_URL, 'http://10.0.0.9:3141/root')
  } finally {
    rmSync(home, { recursive: true })
  }
})
