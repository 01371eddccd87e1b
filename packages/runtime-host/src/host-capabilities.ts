import type { Capabilities } from '@coderunner/runtime'

export const PROVIDER_NAME = 'host'

export const HOST_CAPABILITIES: Capabilities = {
  peers: true,
  pause: true,
  layers: true,
  limits: new Set(['memoryMb', 'cpus', 'pids', 'diskMb']),
  isolation: true,
  nodeVersions: true,
  packageManagers: true,
}
