/** Removes what a destroyed deployment leaves that nothing else uses: its release, layers, site, upload. */
import { AppError } from '@coderunner/contract'
import type { SandboxProvider } from '@coderunner/runtime'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Db } from '../database.ts'
import { releases } from '../releases/release-store.ts'
import type { IngressLink } from '../routing/ingress-link.ts'
import type { RoutePublisher } from '../routing/route-publisher.ts'
import type { BlobStore } from '../sources/blob-store.ts'
import { sources } from '../sources/source-store.ts'
import type { StepExecutors, StepRun } from './step-executors.ts'

export interface CollectionDeps {
  db: Db
  provider: SandboxProvider
  ingress: IngressLink
  routes: RoutePublisher
  blobs: BlobStore
  log: Logger
}

/** An upload may still be on its way to a deployment that will name it. */
const uploadGraceMs = 3600_000

export class Collection {
  readonly #deps: CollectionDeps

  constructor(deps: CollectionDeps) {
    this.#deps = deps
  }

  get executors(): Pick<StepExecutors, 'collect'> {
    return { collect: run => this.#collect(run) }
  }

  async #collect(run: StepRun): Promise<'done'> {
    const { db, routes, ingress } = this.#deps
    const { id, project_id: projectId, site_id: siteId } = run.deployment
    await db
      .updateTable('project')
      .set({ serving_deployment_id: null })
      .where('id', '=', projectId)
      .where('serving_deployment_id', '=', id)
      .execute()
    await routes.changed()
    if (siteId !== null) await ingress.removeSite(siteId)
    await db
      .updateTable('deployment')
      .set({ release_id: null })
      .where('id', '=', id)
      .where('lease_holder', '=', run.lease.holder)
      .where('epoch', '=', run.lease.epoch)
      .execute()
    await this.removeUnused(projectId)
    return 'done'
  }

  /** Everything of the project that no deployment uses any more. */
  async removeUnused(projectId: string): Promise<void> {
    const { db, ingress, blobs } = this.#deps
    for (const site of await releases(db).removeUnused(projectId)) await ingress.removeSite(site)
    await this.removeLayers()
    const unused = await sources(db).removeUnused(projectId, new Date(Date.now() - uploadGraceMs))
    for (const hash of unused) await blobs.remove(projectId, hash)
  }

  /** Layers of the whole host that no release is made of. */
  async removeLayers(): Promise<void> {
    const { db, provider, log } = this.#deps
    const existing = (await provider.listLayers()).map(layer => layer.id)
    const removed: string[] = []
    for (const id of await releases(db).uselessLayers(existing)) {
      try {
        await provider.removeLayer(id)
        removed.push(id)
      } catch (error) {
        // In use by a sandbox that is about to end: the next round takes it.
        if (!(error instanceof AppError)) log.warn({ err: error, layer: id }, 'a layer was not removed')
      }
    }
    await releases(db).forgetLayers(removed)
  }

  /** Rows of what was destroyed long ago. */
  async forgetDestroyed(): Promise<void> {
    await this.#deps.db
      .deleteFrom('deployment')
      .where('status', '=', 'DESTROYED')
      .where('updated_at', '<', sql<Date>`now() - interval '24 hours'`)
      .execute()
  }
}
