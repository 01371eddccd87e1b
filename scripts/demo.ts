/**
 * Starts CodeRunner, deploys an example, prints its URL and follows its log until Ctrl-C. `--once` checks over HTTP that
 * the application answers, takes everything down and exits 0.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const repository = join(import.meta.dirname, '..')
const example = join(repository, 'examples/express-hello')
const stopping = new AbortController()
const children = new Set<ChildProcess>()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort())

/** The usual port when it is free, so that the printed URLs are the ones in the README; else any. */
async function freePort(wanted: number): Promise<string> {
  const probe = createServer().listen(wanted, '127.0.0.1')
  // `once` rejects when the probe says that the port is taken.
  const free = await once(probe, 'listening').then(
    () => true,
    () => false,
  )
  if (free) {
    probe.close()
    await once(probe, 'close')
  }
  return String(free ? wanted : 0)
}

function start(file: string, args: string[], env: Record<string, string>, stdio: 'pipe' | 'inherit'): ChildProcess {
  // A group of its own: Ctrl-C reaches this process alone, which then stops the others in order.
  const child = spawn(process.execPath, [join(repository, file), ...args], {
    cwd: repository,
    env: { ...process.env, ...env },
    stdio: ['ignore', stdio, 'inherit'],
    detached: true,
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

interface Addresses {
  api: string
  appsPort: number
}

async function addresses(daemon: ChildProcess): Promise<Addresses> {
  if (daemon.stdout === null) throw new Error('coderunnerd has no standard output')
  let api = ''
  for await (const line of createInterface({ input: daemon.stdout })) {
    api ||= /^API\s+(http\S+)/.exec(line)?.[1] ?? ''
    const apps = /^apps\s+http\S*:(\d+)/.exec(line)?.[1]
    if (apps !== undefined && api !== '') {
      daemon.stdout.resume()
      return { api, appsPort: Number(apps) }
    }
  }
  throw new Error('CodeRunner ended before it was ready: its last words are above.')
}

async function post(url: string, body: unknown): Promise<Record<string, string>> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return (await response.json()) as Record<string, string>
}

async function firstAnswer(url: string, appsPort: number): Promise<number> {
  const { host } = new URL(url)
  const req = request({ host: '127.0.0.1', port: appsPort, headers: { host }, agent: false })
  req.end()
  const [response] = (await once(req, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode ?? 0
}

const onceOnly = process.argv.includes('--once')
const dataDir = await mkdtemp(join(tmpdir(), 'coderunner-demo-'))
try {
  console.error('Starting CodeRunner …')
  const daemon = start(
    'apps/coderunnerd/src/main.ts',
    [],
    {
      CODERUNNER_DATA_DIR: dataDir,
      CODERUNNER_PORT: await freePort(3000),
      CODERUNNER_APPS_PORT: await freePort(3080),
      CODERUNNER_ON_EXIT: 'stop',
    },
    'pipe',
  )
  const { api, appsPort } = await addresses(daemon)
  const account = { email: 'demo@example.org', password: randomBytes(12).toString('base64url') }
  await post(`${api}/api/auth/register`, account)
  const { token = '' } = await post(`${api}/api/auth/login`, account)
  const settings = { CODERUNNER_URL: api, CODERUNNER_TOKEN: token }

  const deploy = start(
    'apps/cli/bin/coderunner.js',
    ['deploy', example, '--project', 'demo', '--yes'],
    settings,
    'pipe',
  )
  let url = ''
  deploy.stdout?.on('data', (data: Buffer) => (url += data.toString()))
  const [code] = (await once(deploy, 'close')) as [number | null]
  url = url.trim()
  if (code !== 0) throw new Error('The example could not be deployed: the reason is above.')
  const status = await firstAnswer(url, appsPort)
  if (status !== 200) throw new Error(`The example answered ${status} instead of 200.`)

  console.log(`\nApplication  ${url}\nAPI          ${api}\nLog in as    ${account.email}  ${account.password}\n`)
  if (!onceOnly && !stopping.signal.aborted) {
    console.log('Its log (Ctrl-C ends everything):')
    const logs = start('apps/cli/bin/coderunner.js', ['logs', '--project', 'demo', '--follow'], settings, 'inherit')
    await Promise.race([once(stopping.signal, 'abort'), once(logs, 'exit'), once(daemon, 'exit')])
  }
  process.exitCode = 0
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  if (children.size > 0) console.error('Stopping CodeRunner …')
  await Promise.all([...children].map(end))
  await rm(dataDir, { recursive: true, force: true })
}
