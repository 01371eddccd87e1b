import { AppError, allows, type Permission, type Role } from '@coderunner/contract'
import type { Db } from '../database.ts'
import { ForbiddenError } from '../http/problem.ts'
import { type ProjectRef, type ProjectRow, projects } from './project-store.ts'

export type { ProjectRef, ProjectRow } from './project-store.ts'

export class ProjectNotFoundError extends AppError {
  constructor(ref: ProjectRef) {
    super('not_found', `There is no project ${'name' in ref ? ref.name : ref.projectId} that you are a member of.`)
  }
}

/** Who may do what in which project. What is not yours does not exist (404); what your role lacks is forbidden (403). */
export class ProjectAccess {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async require(
    principal: { userId: string },
    ref: ProjectRef,
    permission: Permission,
  ): Promise<{ project: ProjectRow; role: Role }> {
    const found = await projects(this.#db).findForMember(principal.userId, ref)
    if (found === undefined) throw new ProjectNotFoundError(ref)
    const { role, ...project } = found
    if (!allows(role, permission))
      throw new ForbiddenError(`You are a ${role} of ${project.name}: that role does not include ${permission}.`)
    return { project, role }
  }
}
