/** What the sandboxes of one instance are made with. */

import type { Software } from './base/software.ts'
import type { CgroupHierarchies } from './cgroup.ts'
import type { HostPaths } from './instance.ts'
import type { LayerStore } from './layer-store.ts'
import type { MountNamespaces } from './mount-namespaces.ts'
import type { SandboxNetwork } from './network/sandbox-network.ts'
import type { UidRanges } from './uid-ranges.ts'

export interface Machine {
  instance: string
  paths: HostPaths
  hierarchies: CgroupHierarchies
  network: SandboxNetwork
  layers: LayerStore
  ranges: UidRanges
  mountNamespaces: MountNamespaces
  /** What lies below every sandbox's root. */
  software: Software
  /** This process's hard limit of open files. */
  openFiles: number
  /** `CIDR`s that sandboxes with an agent and internet access reach in any case. */
  registryAddresses: () => Promise<readonly string[]>
}
