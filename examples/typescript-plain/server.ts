import { createServer, type IncomingMessage } from 'node:http'

const pathOf = (request: IncomingMessage): string => request.url ?? '/'

createServer((request, response) => response.end(`Hello from TypeScript at ${pathOf(request)}\n`)).listen(
  Number(process.env['PORT'] ?? 3000),
)
