import { newId } from '@coderunner/contract/ids'
import { itemsOf, type Page } from './pages.ts'
import { route } from './routes.ts'
import type { AuditEvent, Member, MemberChange, NewProject, Project, ProjectUpdate } from './shapes.ts'
import type { Transport } from './transport.ts'

/** Keeps one question well below a megabyte. */
const hashesAtOnce = 10_000

export class Projects {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  list({ limit }: { limit?: number } = {}): AsyncGenerator<Project> {
    return itemsOf(cursor => this.#transport.json<Page<Project>>(route.listProjects, { query: { limit, cursor } }))
  }

  /** The project of this name among those the user is a member of. */
  async byName(name: string): Promise<Project | undefined> {
    for await (const project of this.list({ limit: 200 })) if (project.name === name) return project
    return undefined
  }

  get(id: string): Promise<Project> {
    return this.#transport.json(route.getProject, { params: { id } })
  }

  create(project: NewProject): Promise<Project> {
    return this.#transport.json(route.createProject, { json: project, idempotencyKey: newId() })
  }

  update(id: string, change: ProjectUpdate): Promise<Project> {
    return this.#transport.json(route.updateProject, { params: { id }, json: change })
  }

  /** Refused while the project has deployments that are not destroyed. */
  remove(id: string): Promise<void> {
    return this.#transport.json(route.removeProject, { params: { id } })
  }

  members(id: string): AsyncGenerator<Member> {
    return itemsOf(cursor =>
      this.#transport.json<Page<Member>>(route.listMembers, { params: { id }, query: { cursor } }),
    )
  }

  /** Adds a member, or changes a member's role. */
  setMember(id: string, change: MemberChange): Promise<Member> {
    return this.#transport.json(route.setMember, { params: { id }, json: change })
  }

  removeMember(id: string, userId: string): Promise<void> {
    return this.#transport.json(route.removeMember, { params: { id, userId } })
  }

  audit(id: string): AsyncGenerator<AuditEvent> {
    return itemsOf(cursor =>
      this.#transport.json<Page<AuditEvent>>(route.projectAudit, { params: { id }, query: { cursor } }),
    )
  }

  /** Which of these file contents the project does not have yet. */
  async missingSources(id: string, hashes: string[], signal?: AbortSignal): Promise<string[]> {
    const missing: string[] = []
    for (let start = 0; start < hashes.length; start += hashesAtOnce) {
      const answer = await this.#transport.json<{ missing: string[] }>(route.missingSources, {
        params: { id },
        json: { hashes: hashes.slice(start, start + hashesAtOnce) },
        idempotencyKey: newId(),
        signal,
      })
      missing.push(...answer.missing)
    }
    return missing
  }
}
