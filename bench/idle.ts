/** Memory (proportional set size) and processor time of everything CodeRunner runs while nothing happens, beside one bare `node server.js`. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { CodeRunner, repository } from '../test/coderunner.ts'
import { bareStart } from './bare-server.ts'
import { type BenchLine, benchLine } from './bench-line.ts'

const idleSeconds = 60

async function family(root: number): Promise<number[]> {
  const parents = new Map<number, number>()
  for (const name of (await readdir('/proc')).filter(entry => /^\d+$/.test(entry))) {
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
  }
  const members = new Set([root])
  for (let before = 0; before !== members.size; ) {
    before = members.size
    for (const [child, parent] of parents) if (members.has(parent)) members.add(child)
  }
  return [...members]
}

async function pssMb(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
}

const sum = async (pids: number[], of: (pid: number) => Promise<number>) =>
  (await Promise.all(pids.map(of))).reduce((a, b) => a + b, 0)

export async function* bench(): AsyncGenerator<BenchLine> {
  await using coderunner = await CodeRunner.start()
  const bare = await bareStart(join(repository, 'examples/node-hello'))
  try {
    const before = await sum(await family(coderunner.pid), cpuSeconds)
    const bareBefore = await cpuSeconds(bare.pid)
    await delay(idleSeconds * 1000)
    const pids = await family(coderunner.pid)
    const stages: Record<string, number> = {}
    for (const pid of pids) {
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ')
      const name = /apps\/(\w+)\/src\/main/.exec(command)?.[1] ?? (command.includes('postgres') ? 'postgres' : 'other')
      stages[name] = (stages[name] ?? 0) + (await pssMb(pid))
    }
    yield benchLine('idle.pss', await sum(pids, pssMb), await pssMb(bare.pid), 'MB', stages)
    const cpu = ((await sum(pids, cpuSeconds)) - before) / idleSeconds
    yield benchLine(
      'idle.cpu',
      cpu * 100,
      Math.max(((await cpuSeconds(bare.pid)) - bareBefore) / idleSeconds, 0.0001) * 100,
      '% of a core',
    )
  } finally {
    await bare.end()
  }
}
