import { AppError, projectNameProblem, type Role } from '@coderunner/contract'
import type { Database } from '@coderunner/database'
import { audit } from '../audit/audit-log.ts'
import type { DB } from '../database.ts'
import { type MemberRow, type ProjectRow, projects } from './project-store.ts'

export interface ProjectServiceOptions {
  database: Database<DB>
  /** Ports that projects get one each of, for hosts without wildcard DNS. */
  ports: { first: number; last: number }
  /** Removes what else belongs to a project that is gone: files, logs. */
  onDeleted?: (projectId: string) => Promise<void>
}

export class NameTakenError extends AppError {
  constructor(name: string) {
    super('name_taken', `The project name ${name} is taken: choose another one.`)
  }
}

export class LastOwnerError extends AppError {
  constructor() {
    super('conflict', 'A project needs an owner: make somebody else an owner first.')
  }
}

/** Makes and changes projects and memberships, each change together with its audit event. */
export class ProjectService {
  readonly #options: ProjectServiceOptions
  readonly #database: Database<DB>

  constructor(options: ProjectServiceOptions) {
    this.#options = options
    this.#database = options.database
  }

  /** The project of that name, made with the principal as its owner when there is none. */
  async findOrCreate(principal: { userId: string }, name: string): Promise<ProjectRow> {
    const found = await projects(this.#database.kysely).findForMember(principal.userId, { name })
    if (found !== undefined) return withoutRole(found)
    try {
      return await this.create(principal, { name })
    } catch (error) {
      // Two first deploys of the same user at once: the other one has made it.
      const made =
        error instanceof NameTakenError
          ? await projects(this.#database.kysely).findForMember(principal.userId, { name })
          : undefined
      if (made === undefined) throw error
      return withoutRole(made)
    }
  }

  async create(
    principal: { userId: string },
    { name, description = '' }: { name: string; description?: string },
  ): Promise<ProjectRow> {
    const problem = projectNameProblem(name)
    if (problem !== undefined) throw new AppError('invalid_request', problem)
    return this.#database.transaction(async tx => {
      const project = await this.#insert(projects(tx), { name, description })
      await projects(tx).setMember(project.id, principal.userId, 'owner')
      await audit(tx).append({
        userId: principal.userId,
        projectId: project.id,
        action: 'project:create',
        subject: name,
      })
      return project
    })
  }

  async #insert(
    store: ReturnType<typeof projects>,
    project: { name: string; description: string },
  ): Promise<ProjectRow> {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const inserted = await store.insert(project, this.#options.ports)
      if (inserted !== undefined) return inserted
      if (await store.nameTaken(project.name)) throw new NameTakenError(project.name)
      // Somebody else has just taken the port: the next one is free, unless all are taken.
    }
    throw new AppError('unavailable', 'No port is left for another project: widen CODERUNNER_PROJECT_PORTS.')
  }

  update(principal: { userId: string }, projectId: string, change: { description: string }): Promise<ProjectRow> {
    return this.#database.transaction(async tx => {
      const project = await projects(tx).update(projectId, change)
      await audit(tx).append({ userId: principal.userId, projectId, action: 'project:update', subject: project.name })
      return project
    })
  }

  async remove(principal: { userId: string }, project: ProjectRow): Promise<void> {
    await this.#database.transaction(async tx => {
      await projects(tx).lock(project.id)
      if (await projects(tx).hasDeployments(project.id))
        throw new AppError('conflict', `${project.name} still has deployments: destroy them first.`)
      await projects(tx).remove(project.id)
      await audit(tx).append({
        userId: principal.userId,
        projectId: project.id,
        action: 'project:delete',
        subject: project.name,
      })
    })
    await this.#options.onDeleted?.(project.id)
  }

  async setMember(
    principal: { userId: string },
    projectId: string,
    change: { email: string; role: Role },
  ): Promise<MemberRow> {
    return this.#database.transaction(async tx => {
      const store = projects(tx)
      await store.lock(projectId)
      const userId = await store.userIdOf(change.email)
      if (userId === undefined)
        throw new AppError('not_found', `${change.email} has no account here: ask them to register first.`)
      if (change.role !== 'owner' && (await store.ownersBesides(projectId, userId)) === 0) throw new LastOwnerError()
      await store.setMember(projectId, userId, change.role)
      await audit(tx).append({
        userId: principal.userId,
        projectId,
        action: 'member:write',
        subject: userId,
        details: { role: change.role },
      })
      const member = (await store.members(projectId)).find(row => row.user_id === userId)
      if (member === undefined) throw new Error(`Member ${userId} of ${projectId} is gone within its transaction.`)
      return member
    })
  }

  async removeMember(principal: { userId: string }, projectId: string, userId: string): Promise<void> {
    await this.#database.transaction(async tx => {
      const store = projects(tx)
      await store.lock(projectId)
      if ((await store.ownersBesides(projectId, userId)) === 0) throw new LastOwnerError()
      if (!(await store.removeMember(projectId, userId)))
        throw new AppError('not_found', `${userId} is not a member of this project.`)
      await audit(tx).append({ userId: principal.userId, projectId, action: 'member:remove', subject: userId })
    })
  }
}

function withoutRole({ role: _role, ...project }: ProjectRow & { role: Role }): ProjectRow {
  return project
}
