import { mkdirSync, writeFileSync } from 'node:fs'

mkdirSync('dist', { recursive: true })
writeFileSync('dist/index.js', "export const greeting = 'Hello from a workspace'\n")
