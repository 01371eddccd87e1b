import polka from 'polka'

polka()
  .get('/', (_request, response) => response.end('Hello from Polka, installed by Yarn 4\n'))
  .listen(process.env.PORT ?? 3000)
