/**
 * Sandboxes as containers on this Linux host. Runs as root, in one process a data directory; sandboxes outlive it and are
 * adopted by the next one.
 */
import { existsSync, type FSWatcher, mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, idPattern, newId } from '@coderunner/contract'
import {
  checkSandboxSpec,
  type Diagnosis,
  type Fence,
  type Layer,
  type ProviderEvent,
  type Sandbox,
  type SandboxExit,
  SandboxFailedError,
  type SandboxInfo,
  SandboxNotFoundError,
  type SandboxProvider,
  type SandboxSpec,
} from '@coderunner/runtime'
import { requireDiskSpace } from './admission.ts'
import { SandboxCgroup } from './cgroup.ts'
import { diagnoseHost } from './diagnose/diagnose.ts'
import { onDisk, putToRest } from './disk.ts'
import { Epochs } from './epochs.ts'
import { EventFeed } from './event-feed.ts'
import { endSandbox, endStrayMonitors, mountPoints, removeSandbox, unmountBelow } from './garbage.ts'
import { HOST_CAPABILITIES, PROVIDER_NAME } from './host-capabilities.ts'
import type { HostProviderOptions } from './host-options.ts'
import { HostSandbox, type SandboxOrders } from './host-sandbox.ts'
import { hostPaths, instancePattern, OWN_DIRECTORY, sandboxPaths } from './instance.ts'
import { alwaysReached, launchSandbox } from './launch-sandbox.ts'
import type { Machine } from './machine.ts'
import { chooseRuntime } from './oci-runtime.ts'
import { OrderQueue } from './order-queue.ts'
import { prepareMachine } from './prepare-machine.ts'
import { bootId, isAlive } from './process-identity.ts'
import { lockDirectory } from './provider-lock.ts'
import { type SandboxRecord, SandboxStore } from './sandbox-store.ts'
import { Stopwatch } from './stopwatch.ts'

/** How often it is looked for sandboxes that ended without telling: their conmon was killed. */
const SWEEP_MS = 5000
const VANISHED: SandboxExit = { code: -1, outOfMemory: false }

export class HostProvider implements SandboxProvider {
  readonly name = PROVIDER_NAME
  readonly capabilities = HOST_CAPABILITIES
  readonly #machine: Machine
  readonly #store: SandboxStore
  readonly #epochs: Epochs
  readonly #lock: Disposable
  readonly #onCreated: HostProviderOptions['onCreated']
  readonly #onError: (error: unknown) => void
  readonly #queue = new OrderQueue()
  readonly #feed = new EventFeed()
  readonly #sandboxes = new Map<string, HostSandbox>()
  #runtimePath = ''
  #exitWatch: FSWatcher | undefined
  #sweep: NodeJS.Timeout | undefined
  #preparing = Promise.resolve()
  #isClosed = false

  private constructor(parts: {
    machine: Machine
    store: SandboxStore
    epochs: Epochs
    lock: Disposable
    options: HostProviderOptions
  }) {
    this.#machine = parts.machine
    this.#store = parts.store
    this.#epochs = parts.epochs
    this.#lock = parts.lock
    this.#onCreated = parts.options.onCreated
    this.#onError = parts.options.onError ?? (() => {})
  }

  /**
   * Prepares the machine, adopts the sandboxes that still run and removes what is left of others. The first time it
   * also builds the base image, which takes half a minute.
   */
  static async start(options: HostProviderOptions): Promise<HostProvider> {
    if (!instancePattern.test(options.instance)) throw new Error(`"${options.instance}" is no name of an instance.`)
    const paths = hostPaths(options)
    for (const directory of [paths.data, paths.sandboxes, paths.network]) {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
    }
    const lock = lockDirectory(paths.data)
    try {
      const store = new SandboxStore(paths)
      const records = store.names().flatMap(name => store.read(name) ?? [])
      const machine = await prepareMachine(paths, options, { usedSlots: records.map(({ slot }) => slot) })
      const epochs = Epochs.open(paths.epochs)
      const provider = new HostProvider({ machine, store, epochs, lock, options })
      await provider.#takeOver(records)
      if (options.builderImage === 'at-start') provider.#prepareBuilders()
      return provider
    } catch (error) {
      lock[Symbol.dispose]()
      throw error
    }
  }

  create(spec: SandboxSpec, fence: Fence): Promise<Sandbox> {
    return this.#order(spec.id, fence, async () => {
      checkSandboxSpec(spec)
      const existing = this.#sandboxes.get(spec.id)
      if (existing !== undefined) return existing
      await requireDiskSpace(this.#machine.paths.data)
      const sandbox = await this.#make(spec, this.#runtimePath)
      this.#sandboxes.set(sandbox.id, sandbox)
      this.#noticeExit(sandbox.id)
      return sandbox
    })
  }

  async get(id: string): Promise<HostSandbox | undefined> {
    return this.#sandboxes.get(id)
  }

  async list(): Promise<SandboxInfo[]> {
    // One that is on its way out is nobody's any more, and has nothing left to tell.
    return [...this.#sandboxes.values()].filter(({ isGone }) => !isGone).map(sandbox => sandbox.describe())
  }

  /** Nothing there is no error. */
  destroy(id: string, fence: Fence): Promise<void> {
    return this.#order(id, fence, async () => this.#remove(id))
  }

  captureLayer(sandboxId: string, layerId: string, fence: Fence): Promise<Layer> {
    return this.#order(sandboxId, fence, async () => {
      requireLayerId(layerId)
      return this.#queue.run(`layer ${layerId}`, async () => {
        const sandbox = this.#sandboxes.get(sandboxId)
        const existing = this.#machine.layers.get(layerId)
        if (existing !== undefined) {
          if (sandbox !== undefined) await this.#remove(sandboxId)
          return existing
        }
        if (sandbox === undefined) throw new SandboxNotFoundError(sandboxId)
        const layer = await this.#capture(sandbox, layerId)
        await this.#remove(sandboxId)
        return layer
      })
    })
  }

  async layer(layerId: string): Promise<Layer | undefined> {
    return isLayerId(layerId) ? this.#machine.layers.get(layerId) : undefined
  }

  async listLayers(): Promise<Layer[]> {
    return this.#machine.layers.list()
  }

  removeLayer(layerId: string): Promise<void> {
    requireLayerId(layerId)
    return this.#queue.run(`layer ${layerId}`, async () => this.#machine.layers.remove(layerId))
  }

  events(signal: AbortSignal): AsyncIterable<ProviderEvent> {
    return this.#feed.subscribe(signal)
  }

  async diagnose(): Promise<Diagnosis[]> {
    return diagnoseHost()
  }

  /** Ends every sandbox and takes everything of this instance off the machine, but for the layers on disk. */
  async remove(): Promise<void> {
    const { paths, hierarchies, instance, layers, network } = this.#machine
    for (const id of this.#sandboxes.keys()) await this.#queue.run(id, async () => this.#remove(id))
    await this.#close()
    layers.releaseUnused()
    await network.remove()
    unmountBelow(paths.run)
    await rm(paths.run, { recursive: true, force: true })
    hierarchies.removeInstance(instance)
    this.#lock[Symbol.dispose]()
  }

  /** Sandboxes run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (await this.#close()) this.#lock[Symbol.dispose]()
  }

  async #close(): Promise<boolean> {
    if (this.#isClosed) return false
    this.#isClosed = true
    this.#machine.software[Symbol.dispose]()
    await this.#preparing
    await this.#queue.idle()
    await this.#machine.mountNamespaces[Symbol.asyncDispose]()
    clearInterval(this.#sweep)
    this.#exitWatch?.close()
    this.#feed.close(new AppError('unavailable', 'The host provider is shutting down.'))
    for (const sandbox of this.#sandboxes.values()) await sandbox.close({ isGone: false })
    return true
  }

  /** A failure is told again, to the builder that needs it. */
  #prepareBuilders(): void {
    this.#preparing = this.#machine.software.builderImage().then(
      () => {},
      error => {
        if (!this.#isClosed) this.#onError(error)
      },
    )
  }

  /** Adopts what is on record and removes everything else that bears a name of ours. */
  async #takeOver(records: readonly SandboxRecord[]): Promise<void> {
    const { paths, hierarchies, instance, layers, network } = this.#machine
    this.#exitWatch = watch(paths.exits, (_, name) => {
      if (name !== null) this.#noticeExit(name)
    })
    for (const { running, ...record } of records) {
      if (running === undefined) continue
      const sandbox = this.#sandboxOf({ ...record, running })
      this.#sandboxes.set(sandbox.id, sandbox)
      layers.adopt(record.spec.layers, sandbox.id)
      this.#noticeExit(sandbox.id)
      if (sandbox.record.exit === undefined && !this.#isRunning(sandbox)) await this.#recordVanished(sandbox)
    }
    const live = [...this.#sandboxes.values()].filter(({ record }) => record.exit === undefined)
    const monitors = new Set(live.map(({ record }) => record.running.conmon.pid))
    await endStrayMonitors(paths, pid => monitors.has(pid))
    const names = new Set([...this.#store.names(), ...hierarchies.names(instance), ...readdirSync(paths.run)])
    for (const name of names) {
      if (name !== OWN_DIRECTORY && !this.#sandboxes.has(name))
        await removeSandbox({ id: name, instance, paths, hierarchies })
    }
    layers.releaseUnused()
    for (const { slot, running } of records) if (running === undefined) this.#machine.ranges.free(slot)
    await network.adopt(
      await Promise.all(
        live.map(async ({ record: { slot, spec, running } }) => ({
          slot,
          pid: running.main.pid,
          group: spec.group,
          egress: spec.network.egress,
          allow: await alwaysReached(spec, this.#machine),
        })),
      ),
    )
    this.#runtimePath = await this.#findRuntime()
    this.#sweep = setInterval(() => void this.#sweepVanished().catch(this.#onError), SWEEP_MS).unref()
  }

  async #make(spec: SandboxSpec, runtimePath: string): Promise<HostSandbox> {
    const stopwatch = new Stopwatch()
    const slot = this.#machine.ranges.take()
    const record: SandboxRecord = { spec: { ...spec, env: {} }, slot, createdAt: Date.now(), bootId: bootId() }
    try {
      // Written first: a slot is taken, and garbage found, by the record.
      this.#store.write(record)
      const running = await launchSandbox(this.#machine, { spec, slot, runtimePath, stopwatch })
      this.#machine.mountNamespaces.prepare()
      this.#store.write({ ...record, running })
      this.#onCreated?.(stopwatch.read())
      return this.#sandboxOf({ ...record, running })
    } catch (error) {
      // What could not be removed now is removed at the next start.
      await this.#removeAll({ id: spec.id, slot, layers: spec.layers }).catch(this.#onError)
      if (error instanceof AppError) throw error
      throw new SandboxFailedError('The sandbox could not be made. The server’s log says why.', { cause: error })
    }
  }

  #sandboxOf(record: HostSandbox['record']): HostSandbox {
    const { paths, hierarchies, instance, network } = this.#machine
    const { id } = record.spec
    return new HostSandbox({
      record,
      paths: sandboxPaths(paths, id),
      cgroup: new SandboxCgroup(hierarchies, { instance, id }),
      address: network.addressOf(record.slot),
      gateway: network.gateway,
      orders: this.#orders,
    })
  }

  readonly #orders: SandboxOrders = {
    run: (id, fence, order) => this.#order(id, fence, order),
    destroy: (id, fence) => this.destroy(id, fence),
    vanished: sandbox => this.#ended(sandbox, VANISHED),
  }

  #order<T>(id: string, fence: Fence, order: () => Promise<T>): Promise<T> {
    return this.#queue.run(id, async () => {
      if (this.#isClosed) throw new AppError('unavailable', 'The host provider is shutting down.')
      if (!idPattern.test(id)) throw new AppError('invalid_request', 'A sandbox’s id is 20 letters a-z and digits.')
      this.#epochs.check(fence)
      return order()
    })
  }

  async #capture(sandbox: HostSandbox, layerId: string): Promise<Layer> {
    const { paths, hierarchies, instance, layers } = this.#machine
    const { id } = sandbox
    const own = sandboxPaths(paths, id)
    if (!mountPoints().includes(own.disk)) {
      throw new SandboxFailedError('The sandbox’s disk was lost in a restart of the machine.')
    }
    await sandbox.close({ isGone: true })
    const cgroup = new SandboxCgroup(hierarchies, { instance, id })
    await cgroup.killAll()
    // Nobody is left who could change the tree while it is walked.
    for (const part of Object.values(onDisk)) {
      if (part !== onDisk.appUpper) await rm(join(own.disk, part), { recursive: true, force: true })
    }
    await endSandbox({ id, instance, paths, hierarchies })
    await putToRest(own.image, own.disk)
    return layers.keep(layerId, own.image)
  }

  async #remove(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id)
    if (sandbox === undefined) return
    await sandbox.close({ isGone: true })
    const { slot, spec } = sandbox.record
    await this.#removeAll({ id, slot, layers: spec.layers })
    this.#sandboxes.delete(id)
  }

  async #removeAll({ id, slot, layers }: { id: string; slot: number; layers: readonly string[] }): Promise<void> {
    const { paths, hierarchies, instance, network, ranges } = this.#machine
    await removeSandbox({ id, instance, paths, hierarchies }, () => network.detach(slot))
    this.#machine.layers.release(layers, id)
    ranges.free(slot)
  }

  /** An exit file has been written, perhaps: the name may also be that of one on its way. */
  #noticeExit(id: string): void {
    const sandbox = this.#sandboxes.get(id)
    const path = join(this.#machine.paths.exits, id)
    if (sandbox === undefined || sandbox.record.exit !== undefined || !existsSync(path)) return
    const code = Number.parseInt(readFileSync(path, 'utf8'), 10)
    this.#ended(sandbox, { code, outOfMemory: code !== 0 && sandbox.ranOutOfMemory() })
  }

  #ended(sandbox: HostSandbox, exit: SandboxExit): void {
    if (sandbox.record.exit !== undefined) return
    sandbox.end(exit)
    try {
      this.#store.write(sandbox.record)
    } catch (error) {
      // A full disk must not hide the exit.
      this.#onError(error)
    }
    this.#feed.emit({ kind: 'exited', sandboxId: sandbox.id, exit })
  }

  #isRunning({ record }: HostSandbox): boolean {
    return record.bootId === bootId() && isAlive(record.running.main) && isAlive(record.running.conmon)
  }

  /** Nobody saw how it ended; what may be left of it must not run on without anybody to see its output and its end. */
  async #recordVanished(sandbox: HostSandbox): Promise<void> {
    const { hierarchies, instance } = this.#machine
    if (sandbox.record.bootId === bootId()) await new SandboxCgroup(hierarchies, { instance, id: sandbox.id }).killAll()
    this.#noticeExit(sandbox.id)
    this.#ended(sandbox, VANISHED)
  }

  async #sweepVanished(): Promise<void> {
    for (const sandbox of this.#sandboxes.values()) {
      if (sandbox.record.exit !== undefined || isAlive(sandbox.record.running.conmon)) continue
      // conmon writes the exit file before it ends; its event may still be on the way.
      this.#noticeExit(sandbox.id)
      if (sandbox.record.exit !== undefined) continue
      await this.#queue.run(sandbox.id, async () => {
        if (this.#sandboxes.has(sandbox.id)) await this.#recordVanished(sandbox)
      })
    }
  }

  /** Found by making a sandbox; remembered until the next boot. */
  async #findRuntime(): Promise<string> {
    const remembered = this.#machine.paths.runtimePath
    if (existsSync(remembered)) {
      const path = readFileSync(remembered, 'utf8')
      if (existsSync(path)) return path
    }
    const spec: Omit<SandboxSpec, 'id'> = {
      group: 'probe',
      labels: {},
      template: 'node',
      layers: [],
      limits: { memoryMb: 64, cpus: 1, pids: 32, diskMb: 16 },
      env: {},
      main: { kind: 'command', argv: ['true'] },
      network: { egress: 'none' },
    }
    const found = await chooseRuntime(async path => {
      const sandbox = await this.#make({ ...spec, id: newId() }, path)
      await sandbox.close({ isGone: true })
      await this.#removeAll({ id: sandbox.id, slot: sandbox.record.slot, layers: [] })
    })
    writeFileSync(remembered, found)
    return found
  }
}

const isLayerId = (id: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(id)

function requireLayerId(id: string): void {
  if (!isLayerId(id)) throw new AppError('invalid_request', 'A layer’s id is 1 to 64 letters, digits, _ and -.')
}
