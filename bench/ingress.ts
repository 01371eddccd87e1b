/**
 * The ingress against nginx, one core each, the same application behind both: another nginx that answers a few bytes, on
 * the other core together with the load. Needs nginx, wrk and taskset. `node bench/ingress.ts` prints JSON lines.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { RouteTarget } from '@coderunner/contract'
import { Agent, type Dispatcher, request } from 'undici'
import { type BenchLine, benchLine, median } from './bench-line.ts'

const runs = 5
const seconds = 3
const connections = 50
const [measuredCore, otherCore] = ['0', '1']
const page = 'a small answer of an application'.repeat(8)

export async function* bench(): AsyncGenerator<BenchLine> {
  await using parts = new AsyncDisposableStack()
  const directory = await mkdtemp(path.join(tmpdir(), 'bench-ingress-'))
  parts.defer(() => rm(directory, { recursive: true, force: true }))
  const [applicationPort, nginxPort] = [await freePort(), await freePort()]
  await mkdir(path.join(directory, 'site'))
  await writeFile(path.join(directory, 'site/index.html'), page)
  parts.use(await startNginx(directory, 'application', otherCore, applicationConfig(applicationPort)))
  const nginx = parts.use(
    await startNginx(directory, 'nginx', measuredCore, proxyConfig(nginxPort, applicationPort, directory)),
  )
  const ingress = parts.use(await startIngress(directory))
  await ingress.serve({
    'app.localhost': { kind: 'instances', upstreams: [{ instanceId: 'a', host: '127.0.0.1', port: applicationPort }] },
    'site.localhost': { kind: 'static', siteId: await ingress.publish(page) },
  })

  for (const [name, host] of [
    ['proxied', 'app.localhost'],
    ['static', 'site.localhost'],
  ] as const) {
    const results: { ours: Load[]; baseline: Load[] } = { ours: [], baseline: [] }
    // One after the other in turns, so that what else the machine does meets both.
    for (let run = 0; run < runs; run++) {
      results.ours.push(await load(ingress.port, host, ingress.pid))
      results.baseline.push(await load(nginxPort, host, nginx.pid))
    }
    yield line(`ingress ${name} requests`, 'requests/s', results, result => result.requestsPerSecond)
    yield line(`ingress ${name} latency p50`, 'ms', results, result => result.p50Ms)
    // What a request costs: hardly moved by what else the machine does, unlike the two above.
    yield line(`ingress ${name} CPU time`, 'µs/request', results, result => result.cpuUs)
  }
}

interface Load {
  requestsPerSecond: number
  p50Ms: number
  cpuUs: number
}

function line(
  name: string,
  unit: string,
  results: { ours: Load[]; baseline: Load[] },
  of: (load: Load) => number,
): BenchLine {
  return benchLine(name, median(results.ours.map(of)), median(results.baseline.map(of)), unit)
}

async function load(port: number, host: string, pid: number): Promise<Load> {
  const wrk = [
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--latency',
    '-H',
    `Host: ${host}`,
    `http://127.0.0.1:${port}/`,
  ]
  const before = await cpuMs(pid)
  const { stdout } = await promisify(execFile)('taskset', ['-c', otherCore, ...wrk])
  const spentMs = (await cpuMs(pid)) - before
  const failures = /Socket errors:.*|Non-2xx.*/.exec(stdout)
  if (failures !== null) throw new Error(failures[0])
  const [, p50 = '', unit = ''] = /50%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? []
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    p50Ms: Number(p50) * (unit === 'us' ? 0.001 : unit === 's' ? 1000 : 1),
    cpuUs: (spentMs * 1000) / Number(/(\d+) requests in/.exec(stdout)?.[1]),
  }
}

/** CPU time of a process so far; the kernel counts it in hundredths of a second. */
async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

const nginxConfig = (directory: string, name: string, http: string) => `
user root; daemon off; worker_processes 1; pid ${directory}/${name}.pid; error_log stderr emerg;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; default_type text/html; include /etc/nginx/mime.types;
  client_body_temp_path ${directory}/${name}-body; proxy_temp_path ${directory}/${name}-proxy; fastcgi_temp_path ${directory}/${name}-f;
  uwsgi_temp_path ${directory}/${name}-u; scgi_temp_path ${directory}/${name}-s;
  ${http}
}`

const applicationConfig = (port: number) => `server { listen 127.0.0.1:${port}; location / { return 200 '${page}'; } }`

const proxyConfig = (port: number, applicationPort: number, directory: string) => `
  open_file_cache max=1000;
  upstream application { server 127.0.0.1:${applicationPort}; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port}; server_name app.localhost; location / {
    proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Request-Id $request_id; proxy_buffering off; } }
  server { listen 127.0.0.1:${port}; server_name site.localhost; root ${directory}/site; }`

async function startNginx(directory: string, name: string, core: string, http: string) {
  const file = path.join(directory, `${name}.conf`)
  await writeFile(file, nginxConfig(directory, name, http))
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(http.slice(http.indexOf('listen')))?.[1])
  const child = spawn('taskset', ['-c', core, 'nginx', '-p', directory, '-c', file], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  await answering(port)
  const worker = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
  return {
    pid: Number(worker.trim()),
    async [Symbol.asyncDispose]() {
      child.kill('SIGQUIT')
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

async function startIngress(directory: string) {
  const socketPath = path.join(directory, 'control.sock')
  const main = fileURLToPath(new URL('../apps/ingress/src/main.ts', import.meta.url))
  const child = spawn('taskset', ['-c', measuredCore, process.execPath, main], {
    stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      CODERUNNER_APPS_PORT: '0',
      CODERUNNER_INGRESS_DATA: path.join(directory, 'ingress'),
      CODERUNNER_INGRESS_SOCKET: socketPath,
      CODERUNNER_READY_FD: '3',
      CODERUNNER_LOG_LEVEL: 'warn',
    },
  })
  const { port } = JSON.parse(await text(child.stdio[3] as AsyncIterable<string> & NodeJS.ReadableStream)) as {
    port: number
  }
  const control = new Agent({ connect: { socketPath } })
  const order = async (method: Dispatcher.HttpMethod, url: string, body: string) => {
    const answer = await request(`http://ingress${url}`, { dispatcher: control, method, body })
    const answered = await answer.body.text()
    if (answer.statusCode !== 204) throw new Error(`${method} ${url}: ${answer.statusCode} ${answered}`)
  }
  return {
    port,
    pid: child.pid ?? 0,
    serve: (targets: Record<string, RouteTarget>) => {
      const routes = Object.entries(targets).map(([host, target]) => ({
        hosts: [host],
        project: host,
        deploymentId: host,
        target,
      }))
      return order('PUT', '/routes', JSON.stringify({ version: 1, routes }))
    },
    publish: async (content: string) => {
      const siteId = 'benchbenchbenchbench'
      const hash = createHash('sha256').update(content).digest('hex')
      await order('PUT', `/sites/${siteId}/blobs/${hash}`, content)
      const files = [{ path: '/index.html', hash, size: Buffer.byteLength(content) }]
      await order('PUT', `/sites/${siteId}`, JSON.stringify({ files, indexFallback: false }))
      return siteId
    },
    async [Symbol.asyncDispose]() {
      await control.destroy()
      child.stdin?.end()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}

/** Resolves when something listens; nginx has no other way to say that it does. */
async function answering(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const answered = await request(`http://127.0.0.1:${port}/`).then(
      answer => answer.body.dump().then(() => true),
      () => false,
    )
    if (answered) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error(`Nothing answers on port ${port}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

if (import.meta.main) for await (const result of bench()) console.log(JSON.stringify(result))
