/**
 * Layers: images of sandboxes' disks, never written again. One is mounted read-only once, while any sandbox is made of
 * it. A layer exists when its image does; the image comes by one rename.
 */
import { mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Layer, LayerInUseError, LayerNotFoundError } from '@coderunner/runtime'
import { onDisk } from './disk.ts'
import { mountPoints } from './garbage.ts'
import type { HostPaths } from './instance.ts'
import { mountImage } from './kernel/loop.ts'
import { unmount } from './kernel/mount.ts'

export class LayerStore {
  readonly #paths: HostPaths
  /** Ids of the sandboxes made of a layer. */
  readonly #users = new Map<string, Set<string>>()

  constructor(paths: HostPaths) {
    this.#paths = paths
    mkdirSync(paths.layers, { recursive: true, mode: 0o700 })
    mkdirSync(paths.layerMounts, { recursive: true, mode: 0o700 })
    for (const id of readdirSync(paths.layers)) if (this.get(id) === undefined) this.#removeFiles(id)
  }

  get(id: string): Layer | undefined {
    const stats = statSync(this.#image(id), { throwIfNoEntry: false })
    return stats === undefined ? undefined : { id, sizeBytes: stats.blocks * 512 }
  }

  list(): Layer[] {
    return readdirSync(this.#paths.layers).flatMap(id => this.get(id) ?? [])
  }

  /** Takes note of a sandbox that has it mounted already. */
  adopt(ids: readonly string[], sandboxId: string): void {
    for (const id of ids) this.#usersOf(id).add(sandboxId)
  }

  /**
   * Mounts what is not mounted yet. Release when the sandbox is gone, whether or not this succeeds.
   * @returns the layers' trees, in the same order
   * @throws LayerNotFoundError
   */
  acquire(ids: readonly string[], sandboxId: string): string[] {
    for (const id of ids) if (this.get(id) === undefined) throw new LayerNotFoundError(id)
    const mounted = new Set(ids.length === 0 ? [] : mountPoints())
    return ids.map(id => {
      const mountPoint = join(this.#paths.layerMounts, id)
      if (!mounted.has(mountPoint)) {
        mkdirSync(mountPoint, { recursive: true, mode: 0o700 })
        mountImage(this.#image(id), mountPoint, { readOnly: true, noSuid: true })
      }
      this.#usersOf(id).add(sandboxId)
      return join(mountPoint, onDisk.appUpper)
    })
  }

  release(ids: readonly string[], sandboxId: string): void {
    for (const id of ids) {
      const users = this.#users.get(id)
      if (users === undefined || !users.delete(sandboxId) || users.size > 0) continue
      this.#users.delete(id)
      this.#unmount(id)
    }
  }

  /** Takes an image that nobody has mounted, whole or not at all. */
  async keep(id: string, image: string): Promise<Layer> {
    await flush(image)
    mkdirSync(join(this.#paths.layers, id), { recursive: true, mode: 0o700 })
    renameSync(image, this.#image(id))
    await flush(join(this.#paths.layers, id))
    await flush(this.#paths.layers)
    const layer = this.get(id)
    if (layer === undefined) throw new LayerNotFoundError(id)
    return layer
  }

  /** Nothing there is no error. @throws LayerInUseError */
  remove(id: string): void {
    if ((this.#users.get(id)?.size ?? 0) > 0) throw new LayerInUseError(id)
    this.#unmount(id)
    this.#removeFiles(id)
  }

  /** Unmounts what no sandbox uses: left by a run that was cut short. */
  releaseUnused(): void {
    for (const id of readdirSync(this.#paths.layerMounts)) if ((this.#users.get(id)?.size ?? 0) === 0) this.#unmount(id)
  }

  #usersOf(id: string): Set<string> {
    let users = this.#users.get(id)
    if (users === undefined) this.#users.set(id, (users = new Set()))
    return users
  }

  #unmount(id: string): void {
    const mountPoint = join(this.#paths.layerMounts, id)
    while (unmount(mountPoint));
    try {
      rmdirSync(mountPoint)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }

  #removeFiles(id: string): void {
    rmSync(join(this.#paths.layers, id), { recursive: true, force: true })
  }

  #image(id: string): string {
    return join(this.#paths.layers, id, 'image')
  }
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
