/** Shapes of the HTTP API. The server validates by them and the OpenAPI document is made from them. */
import { type Static, type TEnum, type TSchema, Type } from 'typebox'
import { deploymentStatuses, instanceStatuses, operationKinds, operationStatuses, stepStatuses } from './deployment.ts'
import { logLevels, logSources } from './log-record.ts'
import { projectNamePattern } from './names.ts'
import { roles } from './roles.ts'

const oneOf = <const T extends readonly string[]>(values: T): TEnum<[...T]> => Type.Enum<[...T]>([...values])
const page = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), nextCursor: Type.Optional(Type.String()) })

export const Timestamp = Type.String({ format: 'date-time' })
export const Id = Type.String({ pattern: '^[a-z0-9]{20}$' })
export const ProjectName = Type.String({ pattern: projectNamePattern, maxLength: 40 })

export const PageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
})

// Accounts
export const Credentials = Type.Object({
  email: Type.String({ format: 'email', maxLength: 254 }),
  password: Type.String({ minLength: 8, maxLength: 128 }),
})
export const Registration = Type.Object({
  ...Credentials.properties,
  name: Type.Optional(Type.String({ maxLength: 100 })),
  setupToken: Type.Optional(Type.String({ maxLength: 200 })),
  /** The secret of `POST /api/invitations`, where registration is by invitation. */
  invitation: Type.Optional(Type.String({ maxLength: 200 })),
})
/** Without the rules for new passwords: what does not fit them is simply wrong. */
export const Login = Type.Object({
  email: Type.String({ maxLength: 254 }),
  password: Type.String({ maxLength: 128 }),
})
export const Registered = Type.Object({ userId: Id, message: Type.String() })
export const LoggedIn = Type.Object({ token: Type.String(), userId: Id })
export const Verified = Type.Object({ userId: Id, email: Type.String(), administrator: Type.Boolean() })
export const NewApiToken = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 100 }),
  expiresInDays: Type.Optional(Type.Integer({ minimum: 1, maximum: 3650 })),
})
export const ApiToken = Type.Object({
  id: Id,
  name: Type.String(),
  createdAt: Timestamp,
  lastUsedAt: Type.Optional(Timestamp),
  expiresAt: Type.Optional(Timestamp),
})
/** `token` is shown this once; only its hash is kept. */
export const CreatedApiToken = Type.Object({ ...ApiToken.properties, token: Type.String() })
export const Session = Type.Object({
  id: Id,
  createdAt: Timestamp,
  expiresAt: Timestamp,
  address: Type.Optional(Type.String()),
  userAgent: Type.Optional(Type.String()),
  /** The one that asks. */
  current: Type.Boolean(),
})
/** `invitation` is shown this once. */
export const Invitation = Type.Object({ invitation: Type.String(), expiresAt: Timestamp })

// Projects
export const NewProject = Type.Object({
  name: ProjectName,
  description: Type.Optional(Type.String({ maxLength: 1000 })),
})
export const ProjectUpdate = Type.Object({ description: Type.Optional(Type.String({ maxLength: 1000 })) })
export const Project = Type.Object({
  id: Id,
  name: ProjectName,
  description: Type.String(),
  role: oneOf(roles),
  url: Type.String(),
  servingDeploymentId: Type.Optional(Id),
  createdAt: Timestamp,
})
export const ProjectPage = page(Project)
export const Member = Type.Object({ userId: Id, email: Type.String(), role: oneOf(roles), createdAt: Timestamp })
export const MemberChange = Type.Object({ email: Credentials.properties.email, role: oneOf(roles) })
export const AuditEvent = Type.Object({
  id: Type.String(),
  time: Timestamp,
  userId: Type.Optional(Id),
  action: Type.String(),
  subject: Type.String(),
  details: Type.Record(Type.String(), Type.Unknown()),
})
export const AuditPage = page(AuditEvent)

// Deployments
/** `command`: neither of the others was recognised, but a start command was given. */
export const runtimes = ['nodejs', 'python', 'static', 'command'] as const
/** A repository the server fetches: by https or ssh, one commit without history, submodules or large files. */
export const GitSource = Type.Object(
  {
    url: Type.String({ minLength: 1, maxLength: 2000 }),
    /** Branch, tag or full commit id; the repository's own choice when absent. */
    ref: Type.Optional(Type.String({ minLength: 1, maxLength: 250 })),
    /** Folder of the repository that is taken; the whole when absent. */
    directory: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
    /** Reads a private repository, by https only. Kept sealed until it was fetched, shown to nobody. */
    token: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
  },
  { additionalProperties: false },
)
export const DeployOptions = Type.Object(
  {
    project: ProjectName,
    runtime: Type.Optional(oneOf(runtimes)),
    env: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,127}$' }), Type.String({ maxLength: 32_768 })),
    ),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    /** Start command, instead of the one found. */
    start: Type.Optional(Type.String({ minLength: 1, maxLength: 2000 })),
    /** Build command, instead of the one found; empty for none. */
    build: Type.Optional(Type.String({ maxLength: 2000 })),
    /** Folder of the upload that is deployed, where it is not the whole. */
    directory: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
    /** Instead of an upload. */
    git: Type.Optional(GitSource),
  },
  { additionalProperties: false },
)
/** A path below the project's root: `/` between parts, none of them `.` or `..`, never absolute. Checked again by the server. */
export const SourcePath = Type.String({ minLength: 1, maxLength: 1024 })
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
export const SourceFile = Type.Union([
  Type.Object({
    path: SourcePath,
    content: Type.String({ contentEncoding: 'base64' }),
    executable: Type.Optional(Type.Boolean()),
  }),
  Type.Object({ path: SourcePath, hash: Sha256, executable: Type.Optional(Type.Boolean()) }),
  Type.Object({ path: SourcePath, link: Type.String({ minLength: 1, maxLength: 1024 }) }),
])
/** `files`, or `git`. */
export const DeployFiles = Type.Object({
  ...DeployOptions.properties,
  files: Type.Optional(Type.Array(SourceFile, { maxItems: 100_000 })),
})
export const DeployAccepted = Type.Object({
  deploymentId: Id,
  operationId: Id,
  projectId: Id,
  url: Type.String(),
  deploymentUrl: Type.String(),
})
/** Which of these the project's own stored files lack. */
export const MissingQuery = Type.Object({ hashes: Type.Array(Sha256, { maxItems: 100_000 }) })
export const MissingAnswer = Type.Object({ missing: Type.Array(Sha256) })

export const ProcessPlan = Type.Object({
  type: Type.String({ pattern: '^[a-z][a-z0-9-]{0,30}$' }),
  command: Type.String(),
  count: Type.Integer({ minimum: 0, maximum: 100 }),
})
/** What the analyser found, and why: each finding names the file or rule it comes from. */
export const Detection = Type.Object({
  runtime: oneOf(runtimes),
  /** What it is made with, in its own words: `Next.js`, `Vite`, `Django` … */
  framework: Type.Optional(Type.String()),
  /** Exact versions that builders and instances get. */
  nodeVersion: Type.Optional(Type.String()),
  pythonVersion: Type.Optional(Type.String()),
  packageManager: Type.Optional(Type.String()),
  packageManagerVersion: Type.Optional(Type.String()),
  /** Folder of the upload that is the project; the rest of the upload is left out. */
  directory: Type.Optional(Type.String()),
  /** Folder below the project that is deployed, where it has several that are installed together. */
  workspace: Type.Optional(Type.String()),
  install: Type.Optional(Type.String()),
  /** Commands joined by ` && `, as shown to people. */
  build: Type.Optional(Type.String()),
  /** Command that runs once before a new version serves (`release` of a Procfile). */
  release: Type.Optional(Type.String()),
  processes: Type.Array(ProcessPlan),
  port: Type.Optional(Type.Integer()),
  /** Of a static site: the folder that is served, among the files or made by the build. */
  root: Type.Optional(Type.String()),
  /** Unknown paths of a static site answer its index.html. */
  indexFallback: Type.Optional(Type.Boolean()),
  findings: Type.Array(Type.Object({ what: Type.String(), why: Type.String() })),
  warnings: Type.Array(Type.String()),
})
export const PlannedStep = Type.Object({ name: Type.String(), description: Type.String() })
/** Answer of `POST /api/deploy/plan`: nothing is stored and nothing runs. */
export const DeployPlan = Type.Object({ detection: Detection, steps: Type.Array(PlannedStep) })

export const Step = Type.Object({
  name: Type.String(),
  status: oneOf(stepStatuses),
  durationMs: Type.Optional(Type.Number()),
  error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() })),
})
export const Operation = Type.Object({
  id: Id,
  kind: oneOf(operationKinds),
  status: oneOf(operationStatuses),
  steps: Type.Array(Step),
  createdAt: Timestamp,
  endedAt: Type.Optional(Timestamp),
})
export const Instance = Type.Object({
  id: Id,
  process: Type.String(),
  number: Type.Integer(),
  status: oneOf(instanceStatuses),
  startedAt: Type.Optional(Timestamp),
  exitCode: Type.Optional(Type.Integer()),
})
export const DeploymentSummary = Type.Object({
  id: Id,
  projectId: Id,
  project: ProjectName,
  status: oneOf(deploymentStatuses),
  serving: Type.Boolean(),
  url: Type.String(),
  deploymentUrl: Type.String(),
  runtime: Type.Optional(oneOf(runtimes)),
  createdAt: Timestamp,
  error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() })),
})
export const Deployment = Type.Object({
  ...DeploymentSummary.properties,
  /** Changes with everything that is shown here: what `since` takes. */
  revision: Type.String(),
  /** Of a deployment that waits for others: how many go before it, and itself. */
  queuePosition: Type.Optional(Type.Integer({ minimum: 1 })),
  releaseId: Type.Optional(Id),
  detection: Type.Optional(Detection),
  processes: Type.Array(ProcessPlan),
  /** Steps of the latest operation. */
  steps: Type.Array(Step),
  operations: Type.Array(Operation),
  instances: Type.Array(Instance),
})
export const DeploymentPage = page(DeploymentSummary)
export const DeploymentQuery = Type.Object({
  /** Revision that the caller has: the answer waits for another one. */
  since: Type.Optional(Type.String({ maxLength: 64 })),
  /** Wait no longer than this for it; then the answer is what is there. */
  waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 30_000 })),
})
export const OperationStarted = Type.Object({ operationId: Type.Optional(Id), status: oneOf(deploymentStatuses) })

/** `POST /api/deployments/:id/run`. The answer is `application/x-ndjson`, a `RunEvent` a line. */
export const RunCommand = Type.Object({
  command: Type.Array(Type.String({ maxLength: 8192 }), { minItems: 1, maxItems: 256 }),
  timeoutMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 3_600_000 })),
})
export const RunEvent = Type.Union([
  Type.Object({ stream: oneOf(['stdout', 'stderr'] as const), data: Type.String({ contentEncoding: 'base64' }) }),
  Type.Object({ exitCode: Type.Integer() }),
  Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String() }) }),
])

// Logs
export const LogQuery = Type.Object({
  /** The last N records that match; ignored when `cursor` is given. */
  lines: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, default: 100 })),
  /** Records after this one. */
  cursor: Type.Optional(Type.Integer({ minimum: 0 })),
  since: Type.Optional(Timestamp),
  until: Type.Optional(Timestamp),
  level: Type.Optional(oneOf(logLevels)),
  source: Type.Optional(oneOf(logSources)),
  text: Type.Optional(Type.String({ maxLength: 200 })),
  /** Wait up to this long for records when there are none after `cursor` yet. */
  waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 30_000 })),
})
export const LogEntry = Type.Object({
  cursor: Type.Integer(),
  time: Type.Integer(),
  source: oneOf(logSources),
  deploymentId: Type.String(),
  instance: Type.String(),
  stream: oneOf(['stdout', 'stderr'] as const),
  level: oneOf(logLevels),
  message: Type.String(),
})
/** `cursor` is where to go on from, also when no record matched. */
export const LogPage = Type.Object({ records: Type.Array(LogEntry), cursor: Type.Integer() })

// Health
export const Health = Type.Object({ status: oneOf(['ok', 'degraded'] as const) })
export const HealthCheck = Type.Object({
  name: Type.String(),
  ok: Type.Boolean(),
  detail: Type.Optional(Type.String()),
})
export const HealthDetail = Type.Object({
  status: oneOf(['ok', 'degraded'] as const),
  version: Type.String(),
  uptimeSeconds: Type.Number(),
  checks: Type.Array(HealthCheck),
})

export const ProblemBody = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.String(),
  requestId: Type.String(),
  errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
})

export type DeployOptions = Static<typeof DeployOptions>
export type GitSource = Static<typeof GitSource>
export type SourceFile = Static<typeof SourceFile>
export type Detection = Static<typeof Detection>
export type ProcessPlan = Static<typeof ProcessPlan>
export type PlannedStep = Static<typeof PlannedStep>
export type RunEvent = Static<typeof RunEvent>
export type LogQuery = Static<typeof LogQuery>
export type LogPage = Static<typeof LogPage>
export type Deployment = Static<typeof Deployment>
export type DeploymentSummary = Static<typeof DeploymentSummary>
export type DeployAccepted = Static<typeof DeployAccepted>
export type DeployPlan = Static<typeof DeployPlan>
export type Operation = Static<typeof Operation>
export type Project = Static<typeof Project>
export type Member = Static<typeof Member>
export type ApiToken = Static<typeof ApiToken>
