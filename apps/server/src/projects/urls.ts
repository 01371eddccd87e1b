/** Where applications are reached: below a domain by name, or on one host by port. */
export interface AppsAddress {
  scheme: 'http' | 'https'
  domain?: string
  host: string
  port: number
}

export interface Urls {
  projectUrl(project: { name: string; port: number }): string
  deploymentUrl(slug: string, project: { name: string; port: number }): string
}

/** Without a domain a deployment has no address of its own: its URL is then the project's. */
export function appUrls(apps: AppsAddress): Urls {
  const origin = (host: string, port: number) => new URL(`${apps.scheme}://${host}:${port}`).origin
  const projectUrl = (project: { name: string; port: number }) =>
    apps.domain === undefined ? origin(apps.host, project.port) : origin(`${project.name}.${apps.domain}`, apps.port)
  return {
    projectUrl,
    deploymentUrl: (slug, project) =>
      apps.domain === undefined ? projectUrl(project) : origin(`${slug}--${project.name}.${apps.domain}`, apps.port),
  }
}
