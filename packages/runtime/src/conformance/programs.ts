/**
 * Programs the suite has run inside sandboxes, as argument vectors. A template has Node and a POSIX shell; a provider
 * that cannot run these gives its own that do the same.
 */
export interface ConformancePrograms {
  /** Answers HTTP on 0.0.0.0:$PORT with $GREETING, says `listening`, ends with 0 on SIGTERM after saying `bye`. */
  serve: readonly string[]
  /** The same on 127.0.0.1. */
  serveLoopback: readonly string[]
  /** Fetches the URL appended to it and prints the body; exits 1 when that fails or takes 2 s. */
  fetch: readonly string[]
  /** Says `one` and `three` on stdout, `two` on stderr, then ends with 7. */
  speak: readonly string[]
  /** Says `0`, `1`, … every 10 ms until SIGTERM, then ends with 0. */
  tick: readonly string[]
  /** Says `ready`, heeds no SIGTERM, never ends. */
  stubborn: readonly string[]
  /** Says `begun`, leaves a child that never ends and holds its output, and waits for it. */
  family: readonly string[]
  /** Takes memory until it is killed. */
  hungry: readonly string[]
  /** Starts 400 processes that stay and prints `refused` when one could not be started, else `all`; then ends them. */
  crowd: readonly string[]
  /** Writes 400 MB to `big` in its directory and prints `full` when there was no room, else `fits`. */
  fill: readonly string[]
  /** Says the version of Node, such as `v24.0.0`. */
  nodeVersion: readonly string[]
}

const node = (script: string): readonly string[] => ['node', '-e', script]

const server = (host: string): string => `
  const server = require('node:http').createServer((_, response) => response.end(process.env.GREETING ?? 'hello'))
  server.listen(Number(process.env.PORT), '${host}', () => console.log('listening'))
  process.on('SIGTERM', () => { console.log('bye'); process.exit(0) })`

export const nodePrograms: ConformancePrograms = {
  serve: node(server('0.0.0.0')),
  serveLoopback: node(server('127.0.0.1')),
  fetch: node(`
    fetch(process.argv[1], { signal: AbortSignal.timeout(2000) })
      .then(answer => answer.text()).then(text => console.log(text), () => process.exit(1))`),
  speak: ['sh', '-c', 'echo one; echo two >&2; echo three; exit 7'],
  tick: node(`
    let n = 0
    setInterval(() => console.log(n++), 10)
    process.on('SIGTERM', () => process.exit(0))`),
  stubborn: node(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('ready')`),
  family: ['sh', '-c', 'sleep 61 & echo begun; wait'],
  hungry: node(`const kept = []; for (;;) kept.push(Buffer.alloc(8 * 1024 * 1024, 1))`),
  crowd: node(`
    const { spawn } = require('node:child_process')
    const children = []
    for (let n = 0; n < 400; n++) {
      const child = spawn('sleep', ['60'], { stdio: 'ignore' }).on('error', () => {})
      if (child.pid === undefined) break
      children.push(child)
    }
    console.log(children.length < 400 ? 'refused' : 'all')
    for (const child of children) child.kill('SIGKILL')`),
  fill: node(`
    const file = require('node:fs').openSync('big', 'w')
    const piece = Buffer.alloc(4 * 1024 * 1024, 1)
    try {
      for (let n = 0; n < 100; n++) require('node:fs').writeSync(file, piece)
      require('node:fs').fsyncSync(file)
      console.log('fits')
    } catch (error) { console.log(error.code === 'ENOSPC' || error.code === 'EDQUOT' ? 'full' : error.code) }`),
  nodeVersion: ['node', '--version'],
}
