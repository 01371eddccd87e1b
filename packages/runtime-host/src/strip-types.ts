/**
 * Entry: makes plain JavaScript of the TypeScript files named `*.js` below a directory. A process of its own, so that the
 * runtime's remark about the function being young goes nowhere.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'

const [directory = '.'] = process.argv.slice(2)
for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.js')) continue
  const path = join(directory, name)
  writeFileSync(path, stripTypeScriptTypes(readFileSync(path, 'utf8')))
}
