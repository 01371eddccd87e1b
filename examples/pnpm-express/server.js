import express from 'express'

const app = express()
app.get('/', (_request, response) => response.send('Hello from Express, installed by pnpm\n'))
app.listen(process.env.PORT ?? 3000)
