/**
 * What the daemon and its client say to each other: HTTP/1.1 and JSON over a unix socket. Ids and streams only, never
 * paths of the host. Errors are the contract's Problem with `name`, the class of the error.
 *
 *     POST   /sandboxes                       {spec, fence}            WireSandbox
 *     GET    /sandboxes                                                WireSandbox[]
 *     GET    /sandboxes/:id                                            WireSandbox
 *     POST   /sandboxes/:id/stop              {fence, graceMs}         SandboxExit
 *     POST   /sandboxes/:id/pause             {fence}                  204
 *     POST   /sandboxes/:id/resume            {fence}                  204
 *     POST   /sandboxes/:id/destroy           {fence}                  204, also when there is none
 *     POST   /sandboxes/:id/capture           {fence, layerId}         Layer
 *     GET    /sandboxes/:id/output?offset                              stream of OutputChunk, ends with the output
 *     POST   /sandboxes/:id/output/acknowledge {offset}                204
 *     GET    /sandboxes/:id/ports                                      ListeningPort[]
 *     GET    /sandboxes/:id/usage                                      Usage
 *     *      /sandboxes/:id/agent/…           handed on to the sandbox's agent as it is
 *     GET    /layers                                                   Layer[]
 *     GET    /layers/:id                                               Layer
 *     DELETE /layers/:id                                               204
 *     GET    /events                          stream of ProviderEvent, from the answer's headers on
 *     GET    /diagnosis                                                Diagnosis[]
 *
 * Streams are one JSON value a line.
 */
import type { Problem } from '@coderunner/contract'
import { packageManagerNames, type SandboxInfo, type SandboxSpec } from '@coderunner/runtime'
import { Type } from 'typebox'

export interface WireSandbox {
  info: Omit<SandboxInfo, 'createdAt'> & { createdAt: string }
  mainKind: SandboxSpec['main']['kind']
}
export type WireProblem = Problem & { name: string }

/** Longest JSON body of a request. */
export const BODY_BYTES = 4 * 1024 ** 2
/** Longest line of a stream. */
export const LINE_BYTES = 64 * 1024 ** 2

const text = Type.String({ maxLength: 1024 ** 2 })
const words = Type.Array(text, { maxItems: 10_000 })
const record = Type.Record(Type.String(), text)
const amount = Type.Number({ minimum: 0 })
const offset = Type.Integer({ minimum: 0 })
const version = Type.String({ maxLength: 128 })
const strict = { additionalProperties: false }

export const fence = Type.Object({ key: Type.String({ minLength: 1, maxLength: 256 }), epoch: offset }, strict)
const main = Type.Union([
  Type.Object({ kind: Type.Literal('agent') }, strict),
  Type.Object({ kind: Type.Literal('command'), argv: words, cwd: Type.Optional(text) }, strict),
])
const spec = Type.Object(
  {
    id: Type.String({ maxLength: 64 }),
    group: Type.String({ maxLength: 64 }),
    labels: record,
    template: Type.Union([Type.Literal('node'), Type.Literal('builder')]),
    nodeVersion: Type.Optional(version),
    packageManager: Type.Optional(
      Type.Object({ name: Type.Union(packageManagerNames.map(name => Type.Literal(name))), version }, strict),
    ),
    layers: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 64 }),
    limits: Type.Object({ memoryMb: amount, cpus: amount, pids: amount, diskMb: amount }, strict),
    env: record,
    main,
    network: Type.Object({ egress: Type.Union([Type.Literal('internet'), Type.Literal('none')]) }, strict),
  },
  strict,
)

export const createBody = Type.Object({ spec, fence }, strict)
export const fenceBody = Type.Object({ fence }, strict)
export const stopBody = Type.Object({ fence, graceMs: Type.Number({ minimum: 0, maximum: 3_600_000 }) }, strict)
export const captureBody = Type.Object({ fence, layerId: Type.String({ maxLength: 64 }) }, strict)
export const acknowledgeBody = Type.Object({ offset }, strict)
export const outputQuery = Type.Object({ offset }, strict)
