/**
 * Entry of the process that stands between a sandbox and its provider, so that the sandbox outlives the provider: it
 * starts the main program, keeps its output on disk and its exit code, passes signals on, and ends with it. Whoever is
 * connected to its socket sees its end as the end of the connection, however it came about.
 *
 * Talks: the job on stdin; `ready` on stdout; on the socket, names of signals, one a line.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { constants } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { exitName, type HolderExit, type HolderJob, spoolName } from './holder-job.ts'
import { SpoolWriter } from './spool-writer.ts'

process.umask(0o077)
const job = JSON.parse(await text(process.stdin)) as HolderJob
await mkdir(join(job.directory, spoolName))
const spool = new SpoolWriter(join(job.directory, spoolName))

let group: number | undefined
const signalGroup = (signal: NodeJS.Signals): void => {
  try {
    if (group !== undefined) process.kill(-group, signal)
  } catch {
    // Nobody left.
  }
}
const server = createServer(socket => {
  socket.on('error', () => undefined)
  createInterface({ input: socket }).on('line', line => {
    if (line === 'SIGTERM' || line === 'SIGKILL') signalGroup(line)
  })
})
server.listen(job.socketPath)
await once(server, 'listening')

process.umask(0o022)
const exit = await runMain(job)
await spool.close()
await writeFile(join(job.directory, `${exitName}.new`), JSON.stringify(exit), { mode: 0o600 })
await rename(join(job.directory, `${exitName}.new`), join(job.directory, exitName))
process.exit(0)

async function runMain({ argv, cwd, env }: HolderJob): Promise<HolderExit> {
  const [file = '', ...args] = argv
  try {
    const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const closed = once(child, 'close')
    const exited = once(child, 'exit')
    if (child.pid === undefined) await once(child, 'spawn')
    group = child.pid
    const followed = Promise.all([spool.follow(child.stdout, 'o'), spool.follow(child.stderr, 'e')])
    process.stdout.end('ready\n')
    const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null]
    // Its end is the sandbox's end: what it left in the background goes, and with it the pipes' other end.
    signalGroup('SIGKILL')
    await closed
    await followed
    return { code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]) }
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const reason = missing ? `There is no program ${file} or no directory ${cwd}.` : String(error)
    await spool.write([Buffer.from(reason)], 'e')
    process.stdout.end('ready\n')
    return { code: missing ? 127 : 126 }
  }
}
