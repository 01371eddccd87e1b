import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { Failure } from '../failure.ts'

const largestBytes = 256 * 1024
const variableName = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/

/** The variables of a folder's `.env` file. Values are for the server alone: no message repeats one. */
export async function readEnvFile(directory: string): Promise<Record<string, string>> {
  const file = join(directory, '.env')
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw new Failure('not_found', missing ? `There is no file ${file}.` : `${file} cannot be read.`)
  }
  if (text.length > largestBytes) throw new Failure('too_large', `${file} is larger than 256 kB.`)
  const variables = Object.entries(parseEnv(text)).filter((pair): pair is [string, string] => pair[1] !== undefined)
  const bad = variables.filter(([name]) => !variableName.test(name)).length
  if (bad > 0)
    throw new Failure('invalid_request', `${file} holds ${bad} names that no environment variable can have.`, {
      hint: 'A name begins with a letter or _ and goes on with letters, digits and _.',
    })
  return Object.fromEntries(variables)
}
