import { runConformance } from '@coderunner/runtime/conformance'
import { HostProvider } from './host-provider.ts'
import { makeTestHost } from './test-provider.ts'

runConformance('host', async () => {
  const host = makeTestHost()
  let provider = await HostProvider.start(host.options)
  return {
    provider,
    restart: async () => {
      await provider[Symbol.asyncDispose]()
      provider = await HostProvider.start(host.options)
      return provider
    },
    dispose: async () => {
      await provider[Symbol.asyncDispose]()
      await host.clean()
    },
  }
})
