/** What CodeRunner could leave on a machine, a line each: mounts, cgroups, interfaces, tables, loop devices, run directories, processes. */
import { execFile } from 'node:child_process'
import { glob, readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const ours = /\bcr[0-9a-f]{6}/

async function lines(command: string, args: string[]): Promise<string[]> {
  try {
    return (await run(command, args)).stdout.split('\n')
  } catch {
    return [] // The tool is not on this machine: then nothing of its kind was made either.
  }
}

export async function machineState(): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''))
    .split('\n')
    .map(line => line.split(' ')[4] ?? '')
  const links = (await readdir('/sys/class/net').catch(() => [])).filter(name => ours.test(name))
  const tables = (await lines('nft', ['list', 'tables'])).filter(line => ours.test(line))
  const loops = (await lines('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'])).filter(line =>
    /coderunner|cr[0-9a-f]{6}/.test(line),
  )
  const cgroups = await Array.fromAsync(glob(['/sys/fs/cgroup/cr??????', '/sys/fs/cgroup/*/cr??????']))
  const runs = (await readdir('/run/coderunner').catch(() => [])).map(name => `/run/coderunner/${name}`)
  return [
    ...mounts.filter(path => ours.test(path) || path.includes('coderunner')).map(path => `mount ${path}`),
    ...links.map(name => `interface ${name}`),
    ...tables,
    ...loops.map(line => `loop device ${line.trim()}`),
    ...cgroups.map(path => `cgroup ${path}`),
    ...runs.map(path => `directory ${path}`),
    ...(await processes()),
  ]
}

async function processes(): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc').catch(() => [])).filter(name => /^\d+$/.test(name))) {
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ')
    if (/\bconmon\b.*\bcr[0-9a-f]{6}|coderunnerd|apps\/(server|ingress)\/src\/main/.test(command))
      found.push(`process ${pid} ${command.slice(0, 120)}`)
  }
  return found
}
