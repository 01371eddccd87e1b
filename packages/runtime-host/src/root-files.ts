/** Files of a sandbox's root that are its own, laid into its upper directory before anything runs in it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where things are inside. The base image has these directories. */
export const APP_DIR = '/app'
export const AGENT_DIR = '/run/cr'
export const CODE_DIR = '/opt/coderunner'
export const HOME_DIR = '/home/user'

export interface RootFiles {
  hostname: string
  address: string
  nameserver: string
}

export function writeRootFiles(upper: string, { hostname, address, nameserver }: RootFiles): void {
  mkdirSync(join(upper, 'etc'), { mode: 0o755 })
  const write = (name: string, text: string): void => writeFileSync(join(upper, 'etc', name), text, { mode: 0o644 })
  write('hostname', `${hostname}\n`)
  // 127.0.0.1 first and no ::1: programs that listen on "localhost" must be found where IPv6 is off.
  write('hosts', `127.0.0.1 localhost\n${address} ${hostname}\n`)
  write('resolv.conf', `nameserver ${nameserver}\noptions timeout:2 attempts:3\n`)
}
