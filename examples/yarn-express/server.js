const express = require('express')

const app = express()
app.get('/', (_request, response) => response.send('Hello from Express, installed by Yarn 1\n'))
app.listen(process.env.PORT ?? 3000)
