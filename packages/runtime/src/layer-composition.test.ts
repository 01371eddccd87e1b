import assert from 'node:assert/strict'
import { test } from 'node:test'
import { layersToCopy } from './layer-composition.ts'

test('a layer stands in for those it was made over, and lies over others', () => {
  const made: Record<string, string[]> = { deps: [], build: ['deps'], other: [], top: ['build', 'deps'] }
  const copied = (...layers: string[]): string[] => layersToCopy(layers, layer => made[layer] ?? [])
  assert.deepEqual(copied(), [])
  assert.deepEqual(copied('build', 'deps'), ['build'])
  assert.deepEqual(copied('top', 'build', 'deps'), ['top'])
  assert.deepEqual(copied('other', 'deps'), ['deps', 'other'])
  assert.deepEqual(copied('other', 'build', 'deps'), ['build', 'other'])
  assert.deepEqual(copied('build', 'other'), ['other', 'build'])
})
