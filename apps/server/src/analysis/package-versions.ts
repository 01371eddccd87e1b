/**
 * Which versions of a package are published, from the machine's registry: asked for once a day, kept on disk, and told
 * from there when the registry is away.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { AppError } from '@coderunner/contract'
import semver from 'semver'
import { type Dispatcher, EnvHttpProxyAgent, request } from 'undici'

export interface PackageVersionsOptions {
  /** The machine's settings as builders have them: `npm_config_registry`, `HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS` … */
  environment: Readonly<Record<string, string>>
  /** Made when it is not there. */
  directory: string
  limits?: { timeoutMs?: number; bytes?: number; keptMs?: number }
}

export interface Published {
  /** Lowest first; no pre-releases. */
  versions: readonly string[]
  /** Those of them that the authors advise against. */
  deprecated: readonly string[]
  /** What the package's authors say is the one to take. */
  latest?: string
}

const defaultLimits = { timeoutMs: 10_000, bytes: 10 * 1024 * 1024, keptMs: 24 * 3_600_000 }
/** A registry that is away is not asked at every step of an analysis. */
const retryMs = 60_000
const abbreviated = 'application/vnd.npm.install-v1+json'

export class PackageVersions implements AsyncDisposable {
  readonly #registry: URL
  readonly #dispatcher: Dispatcher
  readonly #directory: string
  readonly #limits: typeof defaultLimits
  readonly #known = new Map<string, { until: number; published: Promise<Published> }>()

  private constructor(registry: URL, dispatcher: Dispatcher, options: PackageVersionsOptions) {
    this.#registry = registry
    this.#dispatcher = dispatcher
    this.#directory = options.directory
    this.#limits = { ...defaultLimits, ...options.limits }
  }

  static async open(options: PackageVersionsOptions): Promise<PackageVersions> {
    const { environment, directory } = options
    const registry = environment['npm_config_registry'] ?? ''
    if (!URL.canParse(registry)) throw new Error(`npm_config_registry is no URL: "${registry}"`)
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return new PackageVersions(directoryUrl(registry), await dispatcherFor(environment), options)
  }

  /** @throws AppError `unavailable` when the registry does not answer, and never has */
  published(name: string): Promise<Published> {
    const known = this.#known.get(name)
    if (known !== undefined && Date.now() < known.until) return known.published
    const entry = {
      until: Number.POSITIVE_INFINITY,
      published: Promise.resolve<Published>({ versions: [], deprecated: [] }),
    }
    entry.published = this.#find(name, until => {
      entry.until = until
    })
    entry.published.catch(() => this.#known.delete(name))
    this.#known.set(name, entry)
    return entry.published
  }

  /**
   * The one the authors recommend when it satisfies the range, else the newest that does, of those they do not advise
   * against where there is one. A tag is no range.
   */
  async resolve(name: string, range: string): Promise<string | undefined> {
    const { versions, deprecated, latest } = await this.published(name)
    if (latest !== undefined && semver.satisfies(latest, range)) return latest
    const unwanted = new Set(deprecated)
    const good = versions.filter(version => !unwanted.has(version))
    return semver.maxSatisfying(good, range) ?? semver.maxSatisfying([...versions], range) ?? undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy()
  }

  async #find(name: string, keepUntil: (time: number) => void): Promise<Published> {
    const kept = await this.#readKept(name)
    const { keptMs } = this.#limits
    if (kept !== undefined && Date.now() < kept.askedAt + keptMs) {
      keepUntil(kept.askedAt + keptMs)
      return kept.published
    }
    try {
      const published = await this.#ask(name)
      await this.#keep(name, published)
      keepUntil(Date.now() + keptMs)
      return published
    } catch (cause) {
      keepUntil(Date.now() + retryMs)
      if (kept !== undefined) return kept.published
      throw new AppError('unavailable', `The package registry did not say which versions of ${name} there are.`, {
        cause,
      })
    }
  }

  async #ask(name: string): Promise<Published> {
    const { timeoutMs, bytes } = this.#limits
    const signal = AbortSignal.timeout(timeoutMs)
    const { statusCode, body } = await request(new URL(name.replace('/', '%2f'), this.#registry), {
      dispatcher: this.#dispatcher,
      headers: { accept: abbreviated },
      signal,
    })
    if (statusCode !== 200) {
      await body.dump()
      throw new Error(`the registry answered ${statusCode}`)
    }
    const parts: Buffer[] = []
    let size = 0
    for await (const part of body as AsyncIterable<Buffer>) {
      size += part.length
      if (size > bytes) throw new Error(`the registry's answer is longer than ${bytes} bytes`)
      parts.push(part)
    }
    return publishedIn(JSON.parse(Buffer.concat(parts).toString('utf8')))
  }

  async #readKept(name: string): Promise<{ askedAt: number; published: Published } | undefined> {
    try {
      const kept = JSON.parse(await readFile(this.#fileOf(name), 'utf8')) as { askedAt: number; published: Published }
      return Array.isArray(kept.published.versions) && typeof kept.askedAt === 'number' ? kept : undefined
    } catch {
      return undefined // not there, or cut short by a crash: it is asked for again
    }
  }

  async #keep(name: string, published: Published): Promise<void> {
    const file = this.#fileOf(name)
    await writeFile(`${file}.new`, JSON.stringify({ askedAt: Date.now(), published }), { mode: 0o600 })
    await rename(`${file}.new`, file)
  }

  /** Another registry has other versions. */
  #fileOf(name: string): string {
    const digest = createHash('sha256').update(`${this.#registry.href} ${name}`).digest('hex').slice(0, 16)
    return join(this.#directory, `${digest}.json`)
  }
}

/** Of a package's document in the registry's abbreviated form. */
function publishedIn(document: unknown): Published {
  const { versions, 'dist-tags': tags } = document as { versions?: unknown; 'dist-tags'?: unknown }
  if (typeof versions !== 'object' || versions === null) throw new Error('the registry’s answer names no versions')
  const stable = Object.entries(versions).filter(([version]) => {
    return semver.valid(version) === version && semver.prerelease(version) === null
  })
  const unwanted = stable.filter(
    ([, manifest]) => (manifest as { deprecated?: unknown } | null)?.deprecated !== undefined,
  )
  const sorted = (list: typeof stable) => list.map(([version]) => version).sort(semver.compare)
  const found = { versions: sorted(stable), deprecated: sorted(unwanted) }
  const latest = (tags as Record<string, unknown> | undefined)?.['latest']
  return typeof latest === 'string' && found.versions.includes(latest) ? { ...found, latest } : found
}

const directoryUrl = (url: string): URL => new URL(url.endsWith('/') ? url : `${url}/`)

async function dispatcherFor(environment: Readonly<Record<string, string>>): Promise<Dispatcher> {
  const bundle = environment['npm_config_cafile'] ?? environment['NODE_EXTRA_CA_CERTS']
  // The path is a sandbox's; where the machine has no such bundle, its registry needs none.
  const extra = bundle === undefined ? undefined : await readFile(bundle, 'utf8').catch(() => undefined)
  const tls = {
    ...(extra === undefined ? {} : { ca: [...rootCertificates, extra] }),
    rejectUnauthorized: environment['npm_config_strict_ssl'] !== 'false',
  }
  return new EnvHttpProxyAgent({
    // Empty, not absent: our own environment is none of the registry's.
    httpProxy: environment['HTTP_PROXY'] ?? '',
    httpsProxy: environment['HTTPS_PROXY'] ?? environment['HTTP_PROXY'] ?? '',
    noProxy: environment['NO_PROXY'] ?? '',
    connect: tls,
    requestTls: tls,
    proxyTls: tls,
  })
}
