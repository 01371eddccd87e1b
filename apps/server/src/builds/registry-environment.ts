/** Settings of the registry in the words of every package manager, each of which reads others. Pure. */

/** The machine's settings as npm has them, and the same for pnpm, Yarn and Bun. */
export function registryEnvironment(machine: Readonly<Record<string, string>>): Record<string, string> {
  const { npm_config_registry: registry, npm_config_cafile: bundle, HTTP_PROXY, HTTPS_PROXY } = machine
  const words: Record<string, string | undefined> = {
    ...(registry === undefined ? {} : registryWords(registry)),
    YARN_HTTP_PROXY: HTTP_PROXY,
    YARN_HTTPS_PROXY: HTTPS_PROXY,
    YARN_HTTPS_CA_FILE_PATH: bundle,
    YARN_ENABLE_STRICT_SSL: machine['npm_config_strict_ssl'],
    // Yarn refuses a registry by plain http unless it is named.
    YARN_UNSAFE_HTTP_WHITELIST: registry?.startsWith('http:') === true ? new URL(registry).hostname : undefined,
  }
  const said = Object.entries(words).filter((entry): entry is [string, string] => (entry[1] ?? '') !== '')
  return { ...machine, ...Object.fromEntries(said) }
}

/** Makes a registry the one that packages come from. */
export function registryWords(registry: string): Record<string, string> {
  return {
    npm_config_registry: registry,
    pnpm_config_registry: registry,
    YARN_REGISTRY: registry,
    YARN_NPM_REGISTRY_SERVER: registry.replace(/\/$/, ''),
    BUN_CONFIG_REGISTRY: registry,
  }
}
