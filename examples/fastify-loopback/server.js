import Fastify from 'fastify'

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Found on 127.0.0.1:4000</title>
    <style>
      :root { color-scheme: light dark; --ink: #2b2431; --paper: #faf7fb; --accent: #84529b; }
      @media (prefers-color-scheme: dark) { :root { --ink: #ece6ef; --paper: #18151a; --accent: #cfa4e2; } }
      body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
        font: 1.0625rem/1.6 system-ui, sans-serif; }
      main { max-width: 32rem; padding: 2rem; }
      h1 { margin: 0; font-size: 2.25rem; line-height: 1.2; letter-spacing: -.02em; }
      code { color: var(--accent); font-size: .95em; }
    </style>
  </head>
  <body>
    <main>
      <h1>You found me</h1>
      <p>I listen on <code>127.0.0.1:4000</code> and never looked at <code>PORT</code>. You read this all the same.</p>
    </main>
  </body>
</html>
`

const app = Fastify({ logger: true })

app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
app.get('/health', async () => ({ status: 'ok' }))

// As in many a tutorial: an address of its own, and no word of PORT.
await app.listen({ host: '127.0.0.1', port: 4000 })
process.on('SIGTERM', () => app.close())
