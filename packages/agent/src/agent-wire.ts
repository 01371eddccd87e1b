/**
 * What the agent and its client say to each other: HTTP/1.1 over the agent's unix socket. Types and constants only, so
 * that neither side pulls in the other. Errors are `AgentProblem` with the contract's codes.
 *
 *     GET    /health                                   204
 *     POST   /processes                ProcessSpec     200 stream of ProcessFrame; dropping it leaves the process running
 *     GET    /processes                                ProcessListing[]
 *     GET    /processes/:pid/output                    200 stream of ProcessFrame from now on, no replay but the end
 *     POST   /processes/:pid/stdin     bytes           204 when the process has taken them
 *     DELETE /processes/:pid/stdin                     204
 *     PUT    /processes/:pid/size      {cols, rows}    204
 *     POST   /processes/:pid/signal    {signal}        204
 *     GET    /files/content?path                       bytes
 *     PUT    /files/content?path&mode  bytes           204, in one piece or not at all
 *     GET    /files/stat?path                          WireFileEntry
 *     GET    /files/list?path&depth                    WireFileEntry[]
 *     POST   /files/directories?path                   204, with its parents
 *     POST   /files/rename             {from, to}      204
 *     DELETE /files?path                               204, also when nothing is there
 *     GET    /files/watch?path&recursive               stream of FileChange; the headers come when the watch stands
 *     PUT    /files/archive?path       tar             204
 *     GET    /files/archive?path                       tar
 *
 * Streams are one JSON value a line.
 */
import type { FileChange, FileEntry, ProcessExit } from '@coderunner/runtime'

/** Longest piece of output in one frame. */
export const outputChunkBytes = 32 * 1024
/** Longest line of a stream: a piece of output in base64 and what is around it. */
export const frameBytes = 64 * 1024
/** Longest JSON body. */
export const jsonBodyBytes = 1024 * 1024
/** Most entries that one listing gives. */
export const listedEntries = 100_000
/** How long the exit of a process that has ended is kept for a late `output`. */
export const exitKeptMs = 30_000

export const signals = ['SIGTERM', 'SIGKILL', 'SIGINT'] as const
export type Signal = (typeof signals)[number]

export type ProcessFrame =
  | { kind: 'start'; pid: number }
  /** `data` is base64. Pieces of stdout and stderr never end within a UTF-8 character, those of a pty may. */
  | { kind: 'data'; stream: 'stdout' | 'stderr' | 'pty'; data: string }
  | ({ kind: 'end' } & ProcessExit)

export interface ProcessListing {
  pid: number
  argv: readonly string[]
  cwd: string
  pty: boolean
  startedAt: string
}

export type WireFileEntry = Omit<FileEntry, 'modifiedAt'> & { modifiedAt: string }
export type WireFileChange = FileChange

/** The contract's Problem, as far as the agent can know it. */
export interface AgentProblem {
  type: string
  title: string
  status: number
  code: string
  detail: string
  requestId: string
}
