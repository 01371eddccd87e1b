import { NotSupportedError } from './errors.ts'
import type { SandboxSpec } from './sandbox.ts'

/**
 * For providers whose sandboxes have the machine's software and no other. Another version of the same major runs the same
 * programs; anything else is refused before it fails in a stranger way.
 * @param own the Node that sandboxes get
 */
export function requireOwnSoftware({ nodeVersion, packageManager }: SandboxSpec, own: string, provider: string): void {
  if (nodeVersion !== undefined && majorOf(nodeVersion) !== majorOf(own)) {
    throw new NotSupportedError(`Node ${nodeVersion} (there is ${own})`, provider)
  }
  if (packageManager !== undefined) {
    throw new NotSupportedError(`Bringing ${packageManager.name} ${packageManager.version}`, provider)
  }
}

const majorOf = (version: string): string => version.split('.')[0] ?? ''
