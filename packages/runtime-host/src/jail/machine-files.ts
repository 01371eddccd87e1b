import { existsSync } from 'node:fs'
import type { JailOrder } from './enter-jail.ts'

/** The machine's own, so that a sandbox trusts whom the machine trusts. */
export const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'

/** What a program needs of the machine to reach the network as the machine does. */
export function networkFiles(): JailOrder['binds'] {
  return ['/etc/resolv.conf', '/etc/hosts', CERTIFICATES]
    .filter(path => existsSync(path))
    .map(path => ({ source: path, target: path, readOnly: true }))
}
