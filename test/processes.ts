import { readdir, readFile } from 'node:fs/promises'

/** Pids of the processes whose command line has `word` and that descend from coderunnerd `pid`. */
export async function children(pid: number, word: string): Promise<number[]> {
  const parents = new Map<number, number>()
  const commands = new Map<number, string>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    commands.set(Number(name), (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' '))
  }
  const descends = (child: number): boolean => {
    for (let at: number | undefined = child; at !== undefined && at > 1; at = parents.get(at))
      if (at === pid) return true
    return false
  }
  return [...commands]
    .filter(([child, command]) => child !== pid && command.includes(word) && descends(child))
    .map(([child]) => child)
}
