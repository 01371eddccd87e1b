import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Layer, LayerNotFoundError, layersToCopy } from '@coderunner/runtime'
import { copyTree, treeBytes } from './copy-tree.ts'
import { readJsonFile, writeJsonFile } from './json-file.ts'

interface LayerRecord {
  sizeBytes: number
  /** The layers of the sandbox it was made in. */
  over: readonly string[]
}

/** Whole trees, one directory each: `<id>/tree` and `<id>/layer.json`, made under another name and renamed. */
export class LayerStore {
  #directory: string

  static async open(directory: string): Promise<LayerStore> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    for (const name of await readdir(directory)) {
      if (name.endsWith('.new')) await rm(join(directory, name), { recursive: true, force: true })
    }
    return new LayerStore(directory)
  }

  private constructor(directory: string) {
    this.#directory = directory
  }

  async get(id: string): Promise<Layer | undefined> {
    const record = await this.#record(id)
    return record && { id, sizeBytes: record.sizeBytes }
  }

  async list(): Promise<Layer[]> {
    const layers = await Promise.all((await readdir(this.#directory)).map(id => this.get(id)))
    return layers.filter(layer => layer !== undefined)
  }

  /** Takes the tree itself, it is not copied. */
  async take(id: string, tree: string, over: readonly string[]): Promise<Layer> {
    const making = join(this.#directory, `${id}.new`)
    await rm(making, { recursive: true, force: true })
    await mkdir(making, { mode: 0o700 })
    const sizeBytes = await treeBytes(tree)
    await writeJsonFile(join(making, 'layer.json'), { sizeBytes, over } satisfies LayerRecord)
    await rename(tree, join(making, 'tree'))
    await rename(making, join(this.#directory, id))
    return { id, sizeBytes }
  }

  async remove(id: string): Promise<void> {
    // Gone by its name at once, by its files when it is done.
    const going = join(this.#directory, `${id}.gone.new`)
    try {
      await rename(join(this.#directory, id), going)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
      throw error
    }
    await rm(going, { recursive: true, force: true })
  }

  /** Lays the layers over each other in `target`, the first on top. */
  async compose(layers: readonly string[], target: string): Promise<void> {
    const over = new Map<string, readonly string[]>()
    for (const id of layers) {
      const record = await this.#record(id)
      if (record === undefined) throw new LayerNotFoundError(id)
      over.set(id, record.over)
    }
    for (const id of layersToCopy(layers, id => over.get(id) ?? [])) {
      await copyTree(join(this.#directory, id, 'tree'), target)
    }
  }

  #record(id: string): Promise<LayerRecord | undefined> {
    return readJsonFile<LayerRecord>(join(this.#directory, id, 'layer.json'))
  }
}
