/** What an instance has on the machine, found by its name. For tests: after `remove` there must be nothing. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CgroupHierarchies } from './cgroup.ts'
import { mountPoints } from './garbage.ts'
import { attachedLoops } from './kernel/loop.ts'
import { listTables } from './network/nft.ts'

/**
 * @param dataDir the provider's; loop devices are known by it
 * @returns one line for each thing, empty when there is nothing
 */
export async function findLeaks({
  instance,
  dataDir,
  runDir,
}: {
  instance: string
  dataDir: string
  runDir: string
}): Promise<string[]> {
  const hierarchies = CgroupHierarchies.detect()
  const run = join(runDir, 'm')
  const groups = hierarchies.roots().map(root => join(root, instance))
  const tables = await listTables()
  return [
    ...mountPoints()
      .filter(target => target === run || target.startsWith(`${run}/`))
      .map(target => `mount ${target}`),
    ...(await attachedLoops())
      .filter(({ imagePath }) => imagePath.startsWith(`${dataDir}/`))
      .map(({ device, imagePath }) => `loop device ${device} of ${imagePath}`),
    ...groups.filter(group => existsSync(group)).map(group => `control group ${group}`),
    ...readdirSync('/sys/class/net')
      .filter(name => name.startsWith(`${instance}s`))
      .map(name => `link ${name}`),
    ...tables.filter(({ name }) => name === instance).map(({ family, name }) => `table ${family} ${name}`),
    ...processesOf(run),
    ...(existsSync(run) ? [`directory ${run}`] : []),
  ]
}

/** conmon and the runtime have the run directory in their arguments. */
function processesOf(run: string): string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap(name => {
      let command: string
      try {
        command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return [] // ended meanwhile
      }
      return command.includes(`${run}/`) ? [`process ${name} ${command.slice(0, 200)}`] : []
    })
}
