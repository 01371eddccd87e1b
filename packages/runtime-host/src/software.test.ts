import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '@coderunner/contract'
import { type Sandbox, type SandboxProvider, type SandboxSpec } from '@coderunner/runtime'
import { HostProvider } from './host-provider.ts'
import { makeTestHost } from './test-provider.ts'

const fence = { key: 'software', epoch: 1 }
const create = (provider: SandboxProvider, rest: Partial<SandboxSpec>): Promise<Sandbox> =>
  provider.create(
    {
      id: newId(),
      group: 'software',
      labels: {},
      template: 'node',
      layers: [],
      limits: { memoryMb: 512, cpus: 2, pids: 256, diskMb: 512 },
      env: {},
      main: { kind: 'agent' },
      network: { egress: 'none' },
      ...rest,
    },
    fence,
  )

async function say(sandbox: Sandbox, ...argv: string[]): Promise<string> {
  const process = await sandbox.run({ argv })
  let text = ''
  for await (const { data } of process.output()) text += data.toString()
  assert.equal((await process.exit).code, 0, text)
  return text
}

const addon = {
  'package.json': JSON.stringify({ name: 'addon', version: '1.0.0', gypfile: true }),
  'binding.gyp': JSON.stringify({ targets: [{ target_name: 'addon', sources: ['addon.cc'] }] }),
  'addon.cc': `
    #include <node_api.h>
    #include <string>
    static napi_value Init(napi_env env, napi_value) {
      std::string text("compiled");
      napi_value value;
      napi_create_string_utf8(env, text.c_str(), text.size(), &value);
      return value;
    }
    NAPI_MODULE(addon, Init)`,
}

test('what is compiled in a builder, without a network, runs where there is no compiler', async () => {
  const host = makeTestHost()
  const provider = await HostProvider.start(host.options)
  try {
    for (const nodeVersion of [undefined, '20.19.5']) {
      const software = nodeVersion === undefined ? {} : { nodeVersion }
      const builder = await create(provider, { template: 'builder', ...software })
      for (const [name, text] of Object.entries(addon)) await builder.files.write(name, Buffer.from(text))
      await say(builder, 'npm', 'install', '--offline', '--no-audit')
      await say(builder, 'python3', '-m', 'venv', '/app/venv')
      const { id } = await provider.captureLayer(builder.id, newId(), fence)
      const instance = await create(provider, { layers: [id], ...software })
      assert.match(await say(instance, 'node', '-p', `require('./build/Release/addon.node')`), /compiled/)
      assert.match(await say(instance, 'venv/bin/python', '-c', 'import ssl, sqlite3; print("python")'), /python/)
      assert.equal(await say(instance, 'sh', '-c', 'command -v gcc make || true'), '')
      await instance.destroy(fence)
    }
  } finally {
    await provider[Symbol.asyncDispose]()
    await host.clean()
  }
})
