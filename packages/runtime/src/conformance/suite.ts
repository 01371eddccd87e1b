/**
 * What every provider has to do, as tests of `node:test`. A provider's own test file calls `runConformance`; nothing
 * here knows which provider it has, only what it declares.
 */
import { after, afterEach, before, suite } from 'node:test'
import { fileTests } from './files.ts'
import { layerTests } from './layers.ts'
import { lifecycleTests } from './lifecycle.ts'
import { limitTests } from './limits.ts'
import { mainProcessTests } from './main-process.ts'
import { processTests } from './processes.ts'
import { type ConformancePrograms, nodePrograms } from './programs.ts'
import { softwareTests } from './software.ts'
import { ConformanceWorld, type ProviderUnderTest } from './world.ts'

export { type ConformancePrograms, nodePrograms, type ProviderUnderTest }

export function runConformance(
  name: string,
  makeProvider: () => Promise<ProviderUnderTest>,
  programs: ConformancePrograms = nodePrograms,
): void {
  suite(`the ${name} provider`, { timeout: 300_000 }, () => {
    let made: ProviderUnderTest | undefined
    let world: ConformanceWorld | undefined
    const current = (): ConformanceWorld => {
      if (world === undefined) throw new Error('The provider did not start.')
      return world
    }
    before(async () => {
      made = await makeProvider()
      world = new ConformanceWorld(made, programs)
    })
    afterEach(async () => {
      await world?.clear()
    })
    after(async () => {
      await made?.dispose()
    })
    lifecycleTests(current)
    processTests(current)
    fileTests(current)
    mainProcessTests(current)
    limitTests(current)
    layerTests(current)
    softwareTests(current)
  })
}
