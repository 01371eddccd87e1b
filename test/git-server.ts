/** Smart HTTP for repositories of a test, by git's own CGI program. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'

export class GitServer implements AsyncDisposable {
  /** `address:port`, as sandboxes reach this machine. */
  readonly host: string
  /** Repositories below `/private` want this, with any user name. */
  readonly token = 'open-sesame'
  /** What was asked, with the credentials that came along. */
  readonly requests: { url: string; authorization: string | undefined }[] = []
  readonly #server: Server
  readonly #root: string

  private constructor(server: Server, root: string, host: string) {
    this.#server = server
    this.#root = root
    this.host = host
  }

  static async start(): Promise<GitServer> {
    const root = await mkdtemp(join(tmpdir(), 'coderunner-git-'))
    const server = createServer()
    server.listen(0, '0.0.0.0')
    await once(server, 'listening')
    const address = Object.values(networkInterfaces())
      .flat()
      .find(one => one !== undefined && one.family === 'IPv4' && !one.internal)?.address
    if (address === undefined) throw new Error('This machine has no address but loopback.')
    const git = new GitServer(server, root, `${address}:${(server.address() as AddressInfo).port}`)
    server.on('request', (request, response) => void git.#answer(request, response))
    return git
  }

  url(name: string): string {
    return `http://${this.host}/${name}`
  }

  /** A commit on `branch` with these files; its id. The first branch is the one that is fetched by default. */
  async commit(name: string, branch: string, files: Record<string, string>): Promise<string> {
    const bare = join(this.#root, name)
    const work = await mkdtemp(join(this.#root, 'work-'))
    const run = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@x', ...args], {
        cwd: work,
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] ?? '', HOME: work, GIT_CONFIG_NOSYSTEM: '1' },
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim()
    run('init', '--quiet', '--initial-branch', branch)
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(work, path)), { recursive: true })
      await writeFile(join(work, path), content)
    }
    run('add', '--all', '--force')
    run('commit', '--quiet', '--message', 'x')
    const made = run('init', '--quiet', '--bare', '--initial-branch', branch, bare)
    if (made === '') run('push', '--quiet', bare, branch)
    const commit = run('rev-parse', 'HEAD')
    await rm(work, { recursive: true })
    return commit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await rm(this.#root, { recursive: true })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search } = new URL(request.url ?? '/', 'http://x')
    const { authorization } = request.headers
    this.requests.push({ url: request.url ?? '', authorization })
    const given = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64').toString()
    if (pathname.startsWith('/private') && given.split(':')[1] !== this.token) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
      return
    }
    const program = spawn('git', ['http-backend'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {
        PATH: process.env['PATH'] ?? '',
        GIT_PROJECT_ROOT: this.#root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_CONFIG_COUNT: '2',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
        GIT_CONFIG_KEY_1: 'uploadpack.allowReachableSHA1InWant',
        GIT_CONFIG_VALUE_1: 'true',
        PATH_INFO: pathname,
        QUERY_STRING: search.slice(1),
        REQUEST_METHOD: request.method ?? 'GET',
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      },
    })
    program.stdin.on('error', () => {})
    request.pipe(program.stdin)
    const output = await buffer(program.stdout)
    const split = output.indexOf('\r\n\r\n')
    const headers = Object.fromEntries(
      output
        .subarray(0, split)
        .toString()
        .split('\r\n')
        .map(line => line.split(': ', 2) as [string, string]),
    )
    const { Status: status = '200', ...rest } = headers
    response.writeHead(Number.parseInt(status, 10), rest).end(output.subarray(split + 4))
  }
}
