/** The baseline of every deploy figure: `node server.js` started by hand, from spawn to the first 200. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** One request; undefined when nothing answers. */
export function probe(
  port: number,
  headers: Record<string, string> = {},
  host = '127.0.0.1',
): Promise<{ status: number; body: string } | undefined> {
  return new Promise(resolve => {
    const req = request({ host, port, headers, agent: false }, response => {
      text(response).then(
        body => resolve({ status: response.statusCode ?? 0, body }),
        () => resolve(undefined),
      )
    })
    req.once('error', () => resolve(undefined))
    req.end()
  })
}

/** Asks every millisecond until the answer is good. Both contestants are watched by this same prober. */
export async function firstGood(ask: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
  for (const end = performance.now() + limitMs; !(await ask()); ) {
    if (performance.now() > end) throw new Error(`no good answer within ${limitMs} ms`)
    await delay(1)
  }
}

export async function bareStart(
  folder: string,
  file = 'server.js',
): Promise<{ ms: number; pid: number; end: () => Promise<void> }> {
  const port = await freePort()
  const start = performance.now()
  const child = spawn(process.execPath, [file], {
    cwd: folder,
    stdio: 'ignore',
    env: { ...process.env, PORT: String(port) },
  })
  await firstGood(async () => (await probe(port))?.status === 200)
  const ms = performance.now() - start
  const end = async () => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  return { ms, pid: child.pid ?? 0, end }
}
