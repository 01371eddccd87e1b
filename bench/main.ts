/** `npm run bench -- NAME…`: runs the named benches and prints a JSON line a figure. */
import { glob } from 'node:fs/promises'
import { basename } from 'node:path'
import type { BenchLine } from './bench-line.ts'

const known = (await Array.fromAsync(glob('*.ts', { cwd: import.meta.dirname })))
  .map(file => basename(file, '.ts'))
  .filter(name => !['main', 'bench-line', 'bare-server', 'coderunner'].includes(name))
  .toSorted()
const names = process.argv.slice(2)
const unknown = names.filter(name => !known.includes(name))
if (names.length === 0 || unknown.length > 0) {
  console.error(`${unknown.map(name => `There is no bench “${name}”. `).join('')}Choose from: ${known.join(', ')}`)
  process.exit(2)
}
for (const name of names) {
  const { bench } = (await import(`./${name}.ts`)) as { bench: () => AsyncIterable<BenchLine> }
  for await (const line of bench()) console.log(JSON.stringify(line))
}
