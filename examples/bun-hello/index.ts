import ms from 'ms'

Bun.serve({
  port: Number(process.env.PORT ?? 3000),
  fetch: () => new Response(`Hello from Bun, a day is ${ms('1 day')} ms\n`),
})
