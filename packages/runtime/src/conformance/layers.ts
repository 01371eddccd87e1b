import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { newId } from '@coderunner/contract'
import { LayerInUseError, LayerNotFoundError, NotSupportedError } from '../errors.ts'
import type { Sandbox } from '../sandbox.ts'
import { type ConformanceWorld, run, skip } from './world.ts'

export function layerTests(world: () => ConformanceWorld): void {
  /** A layer made by `work` in a sandbox over `layers`. */
  const layer = async (work: (sandbox: Sandbox) => Promise<void>, layers: string[] = []): Promise<string> => {
    const sandbox = await world().create({ layers })
    await work(sandbox)
    const id = newId()
    const made = await world().provider.captureLayer(sandbox.id, id, world().fence)
    assert.equal(made.id, id)
    assert.ok(made.sizeBytes > 0)
    assert.equal(await world().provider.get(sandbox.id), undefined, 'the sandbox is no more')
    return id
  }
  const write = (path: string, content: string) => (sandbox: Sandbox) => sandbox.files.write(path, Buffer.from(content))
  const read = async (sandbox: Sandbox, path: string): Promise<string> => text(await sandbox.files.read(path))

  suite('layers', () => {
    test('refused where there are none', async t => {
      const { provider, fence } = world()
      if (provider.capabilities.layers) return skip(t, 'there are layers')
      const sandbox = await world().create()
      await assert.rejects(provider.captureLayer(sandbox.id, newId(), fence), NotSupportedError)
      await assert.rejects(world().create({ layers: [newId()] }), NotSupportedError)
      assert.equal(await provider.layer(newId()), undefined)
    })

    test('what was written is there in sandboxes made of it, and stays as it was', async t => {
      if (!world().provider.capabilities.layers) return skip(t, 'no layers')
      const id = await layer(async sandbox => {
        await sandbox.files.write('bin/run.sh', Buffer.from('echo ran\n'), { mode: 0o755 })
        await sandbox.files.write('data', Buffer.alloc(200_000, 1))
      })
      assert.equal((await world().provider.layer(id))?.id, id)
      assert.deepEqual(
        (await world().provider.listLayers()).map(({ id }) => id),
        [id],
      )
      const first = await world().create({ layers: [id] })
      assert.equal((await first.files.stat('bin/run.sh')).mode, 0o755)
      assert.equal((await run(first, ['sh', '-c', 'cat bin/run.sh'])).stdout, 'echo ran\n')
      await first.files.write('bin/run.sh', Buffer.from('changed'))
      await first.files.remove('data')
      const second = await world().create({ layers: [id] })
      assert.equal(await read(second, 'bin/run.sh'), 'echo ran\n')
      assert.equal((await second.files.stat('data')).size, 200_000)
    })

    test('the first layer lies on top', async t => {
      if (!world().provider.capabilities.layers) return skip(t, 'no layers')
      const below = await layer(async sandbox => {
        await write('both', 'below')(sandbox)
        await write('below', 'below')(sandbox)
        await write('directory/below', 'below')(sandbox)
      })
      const above = await layer(async sandbox => {
        await write('both', 'above')(sandbox)
        await write('directory/above', 'above')(sandbox)
      })
      const sandbox = await world().create({ layers: [above, below] })
      assert.deepEqual([await read(sandbox, 'both'), await read(sandbox, 'below')], ['above', 'below'])
      assert.equal((await sandbox.files.list('directory')).length, 2)
      const other = await world().create({ layers: [below, above] })
      assert.equal(await read(other, 'both'), 'below')
    })

    test('a layer over a layer: what was removed is gone, what was added is there', async t => {
      if (!world().provider.capabilities.layers) return skip(t, 'no layers')
      const below = await layer(async sandbox => {
        await write('kept', 'kept')(sandbox)
        await write('tree/gone', 'gone')(sandbox)
      })
      const above = await layer(
        async sandbox => {
          await sandbox.files.remove('tree')
          await write('added', 'added')(sandbox)
        },
        [below],
      )
      const { files } = await world().create({ layers: [above, below] })
      assert.deepEqual(
        (await files.list('')).map(({ name }) => name),
        ['added', 'kept'],
      )
    })

    test('cannot be removed while in use; a second capture of one id changes nothing', async t => {
      if (!world().provider.capabilities.layers) return skip(t, 'no layers')
      const { provider, fence } = world()
      const id = await layer(write('file', 'first'))
      const other = await world().create()
      await write('file', 'second')(other)
      assert.equal((await provider.captureLayer(other.id, id, fence)).id, id)
      assert.equal(await provider.get(other.id), undefined)
      const user = await world().create({ layers: [id] })
      assert.equal(await read(user, 'file'), 'first')
      await assert.rejects(provider.removeLayer(id), LayerInUseError)
      await user.destroy(fence)
      await provider.removeLayer(id)
      assert.equal(await provider.layer(id), undefined)
      await assert.rejects(world().create({ layers: [id] }), LayerNotFoundError)
      assert.deepEqual(await provider.list(), [])
    })
  })
}
