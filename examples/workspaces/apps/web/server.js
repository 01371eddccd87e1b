import { createServer } from 'node:http'
import { greeting } from '@example/greeting'
import ms from 'ms'

createServer((_request, response) => response.end(`${greeting}, a day is ${ms('1 day')} ms\n`)).listen(
  process.env.PORT ?? 3000,
)
