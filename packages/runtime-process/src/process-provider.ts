import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { AppError } from '@coderunner/contract'
import {
  Audience,
  type Capabilities,
  checkSandboxSpec,
  type Diagnosis,
  type Fence,
  type Layer,
  LayerInUseError,
  type ProviderEvent,
  requireOwnSoftware,
  type Sandbox,
  SandboxFailedError,
  type SandboxInfo,
  SandboxNotFoundError,
  type SandboxProvider,
  type SandboxSpec,
} from '@coderunner/runtime'
import { whenDirectory } from './directory-condition.ts'
import { EpochFile } from './epoch-file.ts'
import { type HolderJob, marker } from './holder-job.ts'
import { startHolder } from './holder-link.ts'
import { LayerStore } from './layer-store.ts'
import { agentSocket, holderSocket, ProcessSandbox, providerName } from './process-sandbox.ts'
import { killSandbox } from './process-tree.ts'
import { type SandboxRecord, SandboxRecords } from './sandbox-record.ts'

const run = promisify(execFile)
const defaultPath = '/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin'

export interface ProcessProviderOptions {
  dataDir: string
  /** The Node that sandboxes find first in their PATH. */
  nodePath?: string
  /** The rest of their PATH, where npm and the like are. */
  searchPath?: string
  /** Programs of root would be programs of the machine's root: refused unless this is set. */
  allowRoot?: boolean
}

/**
 * Sandboxes without isolation: directories and child processes of this account, for machines without namespaces. Code
 * in them can do whatever the account can, limits are not enforced, the network is the machine's. Sandboxes outlive
 * the provider and are found again by the next one on the same data directory.
 *
 * All share one address, so each gets a free port of its own in PORT, whatever the spec says there; what a program
 * listens on in the end is told by `ports`.
 */
export class ProcessProvider implements SandboxProvider {
  readonly name = providerName
  readonly capabilities: Capabilities = {
    peers: true,
    pause: false,
    layers: true,
    limits: new Set(),
    isolation: false,
    nodeVersions: false,
    packageManagers: false,
  }
  #nodePath: string
  #nodeVersion: string
  #searchPath: string
  /** Without it every start would strip the types of the agent and the holder again. */
  #compileCache: string
  #records: SandboxRecords
  #layers: LayerStore
  #epochs: EpochFile
  #sandboxes = new Map<string, ProcessSandbox>()
  #events = new Audience<ProviderEvent>()
  /** Orders about one sandbox or its layers run one after the other. */
  #turns = new Map<string, Promise<unknown>>()

  /** Finds the sandboxes that are there already, and removes what a crash left half made. */
  static async start(options: ProcessProviderOptions): Promise<ProcessProvider> {
    if (process.getuid?.() === 0 && options.allowRoot !== true) {
      throw new AppError(
        'not_supported',
        'The process runtime gives programs the rights of the account it runs as and refuses to run as root. Use another account, or CODERUNNER_RUNTIME=host for isolated sandboxes.',
      )
    }
    await mkdir(options.dataDir, { recursive: true, mode: 0o700 })
    const dataDir = await realpath(options.dataDir)
    const provider = new ProcessProvider(options, {
      nodeVersion: await versionOf(options.nodePath ?? process.execPath),
      compileCache: join(dataDir, 'compile-cache'),
      records: await SandboxRecords.open(join(dataDir, 'sandboxes')),
      layers: await LayerStore.open(join(dataDir, 'layers')),
      epochs: await EpochFile.open(join(dataDir, 'epochs.json')),
    })
    await provider.#adopt()
    return provider
  }

  private constructor(
    options: ProcessProviderOptions,
    stores: {
      nodeVersion: string
      compileCache: string
      records: SandboxRecords
      layers: LayerStore
      epochs: EpochFile
    },
  ) {
    this.#nodePath = options.nodePath ?? process.execPath
    this.#searchPath = options.searchPath ?? defaultPath
    this.#nodeVersion = stores.nodeVersion
    this.#compileCache = stores.compileCache
    this.#records = stores.records
    this.#layers = stores.layers
    this.#epochs = stores.epochs
  }

  async create(spec: SandboxSpec, fence: Fence): Promise<Sandbox> {
    checkSandboxSpec(spec)
    requireOwnSoftware(spec, this.#nodeVersion, this.name)
    await this.#epochs.check(fence)
    return this.#inTurn(spec.id, async () => this.#sandboxes.get(spec.id) ?? (await this.#make(spec)))
  }

  async get(id: string): Promise<Sandbox | undefined> {
    return this.#sandboxes.get(id)
  }

  async list(): Promise<SandboxInfo[]> {
    return Promise.all([...this.#sandboxes.values()].map(sandbox => sandbox.info()))
  }

  async captureLayer(sandboxId: string, layerId: string, fence: Fence): Promise<Layer> {
    await this.#epochs.check(fence)
    return this.#inTurn(sandboxId, async () => {
      const sandbox = this.#sandboxes.get(sandboxId)
      const present = await this.#layers.get(layerId)
      if (sandbox === undefined) {
        if (present !== undefined) return present
        throw new SandboxNotFoundError(sandboxId)
      }
      await sandbox.end(0)
      const layer = present ?? (await this.#layers.take(layerId, sandbox.appDir, sandbox.record.spec.layers))
      await this.#remove(sandbox)
      return layer
    })
  }

  layer(layerId: string): Promise<Layer | undefined> {
    return this.#layers.get(layerId)
  }

  listLayers(): Promise<Layer[]> {
    return this.#layers.list()
  }

  async removeLayer(layerId: string): Promise<void> {
    for (const { record } of this.#sandboxes.values()) {
      if (record.spec.layers.includes(layerId)) throw new LayerInUseError(layerId)
    }
    await this.#layers.remove(layerId)
  }

  events(signal: AbortSignal): AsyncIterable<ProviderEvent> {
    return this.#events.listen(signal)
  }

  async diagnose(): Promise<Diagnosis[]> {
    return [
      {
        name: 'isolation',
        ok: false,
        detail: 'Programs run with the rights of this account, without isolation or limits: run only code you trust.',
        fix: 'CODERUNNER_RUNTIME=host on a Linux machine, as root',
      },
    ]
  }

  /** Lets go of the sandboxes, which run on. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#turns.values())
    await Promise.all([...this.#sandboxes.values()].map(sandbox => sandbox.release()))
  }

  /** Ends every sandbox and removes what it had. Layers stay. */
  async remove(): Promise<void> {
    await Promise.all([...this.#sandboxes.keys()].map(id => this.#inTurn(id, () => this.#destroy(id))))
  }

  async #adopt(): Promise<void> {
    for (const id of await this.#records.ids()) {
      const record = await this.#records.read(id)
      if (record?.state === 'kept') this.#sandboxes.set(id, await this.#sandboxOf(record))
      else {
        await killSandbox(id, undefined)
        await this.#records.remove(id)
      }
    }
  }

  async #make(spec: SandboxSpec): Promise<ProcessSandbox> {
    const { env, ...kept } = spec
    const directory = this.#records.directoryOf(spec.id)
    const socketDir = await mkdtemp(join(tmpdir(), 'cr-'))
    const record: SandboxRecord = { spec: kept, createdAt: new Date().toISOString(), state: 'making', socketDir }
    try {
      await this.#records.write(record)
      for (const name of ['app', 'home', 'tmp']) await mkdir(join(directory, name))
      await this.#layers.compose(spec.layers, join(directory, 'app'))
      const job = await this.#job(spec, { directory, socketDir, env })
      const ready =
        spec.main.kind === 'agent' ? whenDirectory(socketDir, () => exists(join(socketDir, agentSocket))) : undefined
      record.holder = await startHolder({ nodePath: this.#nodePath, compileCache: this.#compileCache, job })
      record.state = 'kept'
      const sandbox = await this.#sandboxOf(record)
      const ended = sandbox.ended.then(
        () => ready && Promise.reject(new SandboxFailedError('The agent did not start.')),
      )
      await Promise.race([ready, ended])
      ended.catch(() => undefined)
      await this.#records.write(record)
      this.#sandboxes.set(spec.id, sandbox)
      return sandbox
    } catch (error) {
      await killSandbox(spec.id, undefined)
      await this.#records.remove(spec.id)
      await rm(socketDir, { recursive: true, force: true })
      throw error
    }
  }

  async #job(
    spec: SandboxSpec,
    place: { directory: string; socketDir: string; env: SandboxSpec['env'] },
  ): Promise<HolderJob> {
    const { directory, socketDir } = place
    const appDir = join(directory, 'app')
    const home = join(directory, 'home')
    const env = {
      LANG: 'C.UTF-8',
      ...place.env,
      PATH: `${dirname(this.#nodePath)}:${place.env['PATH'] ?? this.#searchPath}`,
      HOME: home,
      TMPDIR: join(directory, 'tmp'),
      PORT: String(await freePort()),
      [marker]: spec.id,
    }
    const held = { directory, socketPath: join(socketDir, holderSocket) }
    if (spec.main.kind === 'command') {
      return { ...held, argv: spec.main.argv, cwd: join(appDir, spec.main.cwd ?? ''), env }
    }
    return {
      ...held,
      argv: [this.#nodePath, fileURLToPath(import.meta.resolve('@coderunner/agent/main'))],
      cwd: appDir,
      env: {
        PATH: env.PATH,
        NODE_COMPILE_CACHE: this.#compileCache,
        CR_AGENT_SOCKET: join(socketDir, agentSocket),
        CR_APP_DIR: appDir,
        CR_AGENT_USER: 'self',
        CR_HOME: home,
        CR_SANDBOX_ENV: JSON.stringify(env),
        [marker]: spec.id,
      },
    }
  }

  #sandboxOf(record: SandboxRecord): Promise<ProcessSandbox> {
    const { id } = record.spec
    return ProcessSandbox.adopt({
      record,
      directory: this.#records.directoryOf(id),
      owner: {
        check: fence => this.#epochs.check(fence),
        destroy: id => this.#inTurn(id, () => this.#destroy(id)),
      },
      onExit: async exit => {
        record.exit = exit
        await this.#records.write(record)
        this.#events.tell({ kind: 'exited', sandboxId: id, exit })
      },
    })
  }

  async #destroy(id: string): Promise<void> {
    const sandbox = this.#sandboxes.get(id)
    if (sandbox === undefined) return
    await sandbox.end(0)
    await this.#remove(sandbox)
  }

  async #remove(sandbox: ProcessSandbox): Promise<void> {
    sandbox.record.state = 'going'
    await this.#records.write(sandbox.record)
    this.#sandboxes.delete(sandbox.id)
    await sandbox.retire()
    await this.#records.remove(sandbox.id)
  }

  #inTurn<T>(id: string, act: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(act)
    const settled = turn
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        if (this.#turns.get(id) === settled) this.#turns.delete(id)
      })
    this.#turns.set(id, settled)
    return turn
  }
}

async function versionOf(nodePath: string): Promise<string> {
  if (nodePath === process.execPath) return process.versions.node
  const { stdout } = await run(nodePath, ['--version'])
  return stdout.trim().replace(/^v/, '')
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
