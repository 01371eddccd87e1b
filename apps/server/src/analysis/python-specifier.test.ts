import assert from 'node:assert/strict'
import { test } from 'node:test'
import { markerHolds } from './python-marker.ts'
import { compareVersions, satisfies, toPep440 } from './python-specifier.ts'

test('versions of Python are compared by PEP 440', () => {
  assert.equal(compareVersions('3.11', '3.11.0'), 0)
  assert.ok((compareVersions('3.9', '3.11') ?? 0) < 0)
  assert.ok((compareVersions('3.11.0rc1', '3.11') ?? 0) < 0)
  assert.equal(compareVersions('three', '3'), undefined)
})

for (const [specifier, expected] of [
  ['>=3.9', true],
  ['>=3.9,<3.12', true],
  ['>= 3.9, < 3.11', false],
  ['>=3.9 <3.11', false],
  ['==3.11.*', true],
  ['!=3.11.*', false],
  ['~=3.11', true],
  ['~=3.11.1', true],
  ['~=3.10.1', false],
  ['^3.9', true],
  ['^2.7 || ^3.11', true],
  ['^2.7', false],
  ['~3.11', true],
  ['3.11.*', true],
  ['*', true],
  ['>3.11.2', false],
  ['===3.11.2', true],
  ['>=three', undefined],
] as const)
  test(`3.11.2 in “${specifier}”: ${expected}`, () => assert.equal(satisfies('3.11.2', specifier), expected))

test('Poetry’s carets and tildes become what pip knows', () => {
  assert.equal(toPep440('^1.2.3'), '>=1.2.3,<2')
  assert.equal(toPep440('^0.2.3'), '>=0.2.3,<0.3')
  assert.equal(toPep440('~1.2.3'), '>=1.2.3,<1.3')
  assert.equal(toPep440('*'), '')
  assert.equal(toPep440('1.2.3'), '==1.2.3')
  assert.equal(toPep440('>=1,<2'), '>=1,<2')
  assert.equal(toPep440('~=1.4'), '~=1.4')
})

for (const [marker, expected] of [
  ["python_version < '3.11'", false],
  ['python_version >= "3.9" and sys_platform != "win32"', true],
  ['(os_name == "nt" or sys_platform == "linux") and python_full_version >= "3.11.0"', true],
  ["platform_machine in 'x86_64 aarch64'", true],
  ["platform_machine not in 'x86_64'", false],
  ["implementation_name == 'pypy'", false],
  ["extra == 'dotenv'", false],
  ["'linux' == sys_platform", true],
  ["python_version in '3.10, 3.11'", true],
  ['what is this', true],
  [undefined, true],
] as const)
  test(`marker ${marker}: ${expected}`, () =>
    assert.equal(markerHolds(marker, { pythonVersion: '3.11.2', architecture: 'x64' }), expected))

test('a marker of many brackets is not followed into the depth', () => {
  const marker = `${'('.repeat(5000)}os_name == "nt"`
  assert.equal(markerHolds(marker, { pythonVersion: '3.11.2', architecture: 'x64' }), true)
})
