export interface HostProviderOptions {
  /** Root's alone. */
  dataDir: string
  /** Gone after a reboot, such as `/run/coderunner/<instance>`; sandboxes' users pass through it. */
  runDir: string
  /** Shared by all instances: base image, toolchains, agents. */
  cacheDir: string
  /** See `instanceOf`. */
  instance: string
  /** `CIDR[:port]`s that sandboxes with internet access reach although they are private. */
  egressAllow?: readonly string[]
  /** Package registries, reached by sandboxes with an agent and internet access wherever they are. */
  registryHosts?: readonly string[]
  /**
   * The machine's settings of npm (`npm_config_registry`, `npm_config_cafile`, `HTTPS_PROXY` …), with which other versions
   * of Node and package managers are fetched. Paths in it are those of a sandbox. Never anybody's token.
   */
  registryEnv?: Readonly<Record<string, string>>
  /** When the image with the compilers is built: at the first builder (the default), or from the start on, beside everything else. */
  builderImage?: 'at-need' | 'at-start'
  onProgress?: (line: string) => void
  /** Failures of work that nobody waits for. */
  onError?: (error: unknown) => void
  /** Milliseconds that the stages of a create took. */
  onCreated?: (stages: Record<string, number>) => void
}
