const { createServer } = require('node:http')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')

const port = Number(process.env.PORT ?? 3000)
const page = readFileSync(join(__dirname, 'page.html'))
const startedAt = Date.now()
let visits = 0

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://localhost')
  if (pathname === '/health') {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ status: 'ok', uptimeSeconds: Math.round((Date.now() - startedAt) / 1000), visits }))
    return
  }
  if (pathname === '/') {
    visits++
    console.log(`${request.method} / visit ${visits}`)
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
    response.end(page)
    return
  }
  response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' })
  response.end('There is nothing here.\n')
})

server.listen(port, () => console.log(`listening on port ${port}`))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
