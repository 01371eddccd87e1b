import { fileURLToPath } from 'node:url'
import express from 'express'

const app = express()
const port = Number(process.env.PORT ?? 3000)
const greeting = process.env.GREETING ?? 'Hello'

app.disable('x-powered-by')
app.use(express.static(fileURLToPath(new URL('public', import.meta.url))))

app.get('/health', (_request, response) => {
  response.json({ status: 'ok' })
})

app.get('/api/greeting', (request, response) => {
  const name = typeof request.query.name === 'string' ? request.query.name.slice(0, 60) : 'you'
  console.log(`greeting ${JSON.stringify(name)}`)
  response.json({ message: `${greeting}, ${name}.` })
})

const server = app.listen(port, () => console.log(`listening on port ${port}`))
process.on('SIGTERM', () => server.close())
