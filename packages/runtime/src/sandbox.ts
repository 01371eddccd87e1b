/**
 * The port between the orchestrator and whatever runs sandboxes. A provider's `create` gives something that runs, or
 * throws and has left nothing behind. Nothing here names a provider.
 */
import type { Readable } from 'node:stream'

/**
 * Who orders, and since when. Every mutating call carries one: a provider remembers the highest epoch it has seen of a
 * key and refuses an older one with `StaleEpochError`, so that a server that lost its lease can do no more harm.
 */
export interface Fence {
  key: string
  epoch: number
}

export interface Limits {
  memoryMb: number
  /** Share of processors; 1 is one whole core. */
  cpus: number
  pids: number
  diskMb: number
}

/**
 * Software below the layers. `node` runs applications: Debian with Python, and Node and npm in `/usr/local`. `builder` has
 * compilers and headers besides; what it makes runs in `node`.
 */
export type Template = 'node' | 'builder'

export const packageManagerNames = ['npm', 'pnpm', 'yarn', 'bun'] as const

export interface PackageManager {
  name: (typeof packageManagerNames)[number]
  /** Exact, such as `9.15.9`. */
  version: string
}

export interface SandboxSpec {
  /** Chosen by the caller (20 × `[a-z0-9]`), so that a repeated create is the same sandbox. */
  id: string
  /** Sandboxes of one group reach each other over the network; nobody else reaches them. A project's id. */
  group: string
  /** Free words for the owner, kept with the sandbox and given back by `list`. */
  labels: Readonly<Record<string, string>>
  template: Template
  /** Exact version of Node, such as `20.19.5`; the provider's own when absent. */
  nodeVersion?: string
  /** Put into `/usr/local/bin`. Without it there is an npm that runs on this Node, and no other. */
  packageManager?: PackageManager
  /** Mounted over each other at the application directory, the first on top, below a writable one of the sandbox's own. */
  layers: readonly string[]
  limits: Limits
  /** Environment of the main process and, below what it sets itself, of every process run later. */
  env: Readonly<Record<string, string>>
  /**
   * `agent`: the sandbox waits for commands. `command`: this is the program; its output is the sandbox's log and its end
   * is the sandbox's end. `argv[0]` is looked up in PATH; no shell takes part.
   */
  main: { kind: 'agent' } | { kind: 'command'; argv: readonly string[]; cwd?: string }
  network: { egress: 'internet' | 'none' }
}

export type SandboxStatus = 'running' | 'paused' | 'exited'

export interface SandboxInfo {
  id: string
  group: string
  labels: Readonly<Record<string, string>>
  status: SandboxStatus
  /** Where the ingress reaches the sandbox's ports. */
  address: string
  /** Absolute path, inside the sandbox, of the application directory. */
  appDir: string
  createdAt: Date
  exit?: SandboxExit
}

export interface SandboxExit {
  /** 128 + n after signal n; -1 when the sandbox vanished (reboot, killed supervisor) and nobody saw its code. */
  code: number
  outOfMemory: boolean
}

export interface Usage {
  memoryBytes: number
  cpuSeconds: number
  pids: number
  diskBytes: number
}

export interface ListeningPort {
  port: number
  /** `any` answers on the sandbox's address; `loopback` was bound to 127.0.0.1 and is made reachable by the provider. */
  bound: 'any' | 'loopback'
}

/** A piece of the main process's output. `offset` is where the next piece begins: pass it to go on from there. */
export interface OutputChunk {
  lines: readonly OutputLine[]
  offset: number
}
export interface OutputLine {
  /** Milliseconds since 1970. */
  time: number
  stream: 'stdout' | 'stderr'
  text: string
}

export interface ProcessSpec {
  argv: readonly string[]
  env?: Readonly<Record<string, string>>
  /** Absolute, or relative to the application directory (the default). */
  cwd?: string
  /** `user` (default) owns the application directory; `root` is root inside the sandbox only. */
  user?: 'user' | 'root'
  stdin?: 'none' | 'pipe'
  pty?: { cols: number; rows: number }
  /** The process and its descendants are killed after this long. */
  timeoutMs?: number
}

export type ProcessEvent = { stream: 'stdout' | 'stderr' | 'pty'; data: Buffer }

export interface ProcessExit {
  /** 128 + n after signal n. */
  code: number
  signal?: string
  timedOut: boolean
}

/** A process in a sandbox. Dropping the iteration does not end it; `kill` does. */
export interface SandboxProcess {
  readonly pid: number
  output(): AsyncIterable<ProcessEvent>
  /** Settles once, after the last output. */
  readonly exit: Promise<ProcessExit>
  write(data: Buffer): Promise<void>
  closeStdin(): Promise<void>
  resize(size: { cols: number; rows: number }): Promise<void>
  kill(signal?: 'SIGTERM' | 'SIGKILL' | 'SIGINT'): Promise<void>
}

export interface FileEntry {
  name: string
  /** Absolute path inside the sandbox. */
  path: string
  type: 'file' | 'directory' | 'symlink' | 'other'
  size: number
  mode: number
  modifiedAt: Date
  symlinkTarget?: string
}

export type FileChange = { type: 'create' | 'write' | 'remove' | 'rename'; path: string }

/**
 * Files as the sandbox's own user sees them, with its rights and no others. Relative paths start at the application
 * directory. Missing files throw `FileNotFoundError`.
 */
export interface SandboxFiles {
  read(path: string): Promise<Readable>
  write(path: string, content: Readable | Buffer, options?: { mode?: number }): Promise<void>
  stat(path: string): Promise<FileEntry>
  list(path: string, options?: { depth?: number }): Promise<FileEntry[]>
  makeDir(path: string): Promise<void>
  /** Removes a file or a whole directory; nothing there is no error. */
  remove(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  watch(path: string, options: { recursive: boolean; signal: AbortSignal }): AsyncIterable<FileChange>
  /** Extracts an uncompressed tar stream below `path`. */
  unpack(path: string, tar: Readable): Promise<void>
  /** An uncompressed tar stream of what lies below `path`, names relative to it. */
  pack(path: string): Promise<Readable>
}

export interface Sandbox {
  readonly id: string
  info(): Promise<SandboxInfo>
  /** Refused with `NotSupportedError` when the main process is a command. */
  run(process: ProcessSpec): Promise<SandboxProcess>
  readonly files: SandboxFiles
  /** The main process's output from `offset` (0 is its beginning), then as it comes, ending after the exit. */
  output(options: { offset: number; signal: AbortSignal }): AsyncIterable<OutputChunk>
  /** Output before `offset` is stored elsewhere and may be let go. */
  acknowledgeOutput(offset: number): Promise<void>
  /** TCP ports that something in the sandbox listens on, lowest first. */
  ports(): Promise<ListeningPort[]>
  usage(): Promise<Usage>
  /** SIGTERM to the main process; SIGKILL to everything after `graceMs`. Resolves with the exit. */
  stop(fence: Fence, options: { graceMs: number }): Promise<SandboxExit>
  pause(fence: Fence): Promise<void>
  resume(fence: Fence): Promise<void>
  /** Ends every process and removes everything the sandbox had. Nothing there is no error. */
  destroy(fence: Fence): Promise<void>
}

export interface Layer {
  id: string
  sizeBytes: number
}

export interface Capabilities {
  peers: boolean
  pause: boolean
  layers: boolean
  /** Limits that are enforced. */
  limits: ReadonlySet<keyof Limits>
  /** Code in one sandbox cannot see another sandbox or the host. */
  isolation: boolean
  /** Sandboxes get the `nodeVersion` they ask for. Without it one of another major version than the provider's is refused. */
  nodeVersions: boolean
  /** Sandboxes get the `packageManager` they ask for. Without it to ask is refused. */
  packageManagers: boolean
}

export type ProviderEvent = { kind: 'exited'; sandboxId: string; exit: SandboxExit }

export interface SandboxProvider extends AsyncDisposable {
  readonly name: string
  readonly capabilities: Capabilities
  create(spec: SandboxSpec, fence: Fence): Promise<Sandbox>
  /** Undefined when there is no such sandbox. */
  get(id: string): Promise<Sandbox | undefined>
  /** Every sandbox of this provider, also those from before a restart. */
  list(): Promise<SandboxInfo[]>
  /**
   * Ends the sandbox and keeps what was written below the application directory as a layer, whole or not at all. A layer
   * that exists already is left as it is, and the sandbox is destroyed.
   */
  captureLayer(sandboxId: string, layerId: string, fence: Fence): Promise<Layer>
  layer(layerId: string): Promise<Layer | undefined>
  listLayers(): Promise<Layer[]>
  /** Refused with `LayerInUseError` while a sandbox is made of it. */
  removeLayer(layerId: string): Promise<void>
  /** Events from now on. Register before reading `list`, so that none is lost. Ends with the signal, or throws when the provider is lost. */
  events(signal: AbortSignal): AsyncIterable<ProviderEvent>
  /** What is wrong with the machine, each with the command that mends it; empty when all is well. */
  diagnose(): Promise<Diagnosis[]>
}

export interface Diagnosis {
  name: string
  ok: boolean
  detail: string
  fix?: string
}
