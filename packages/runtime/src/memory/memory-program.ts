import type { RequestListener } from 'node:http'
import { posix } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import type { SandboxFiles } from '../sandbox.ts'

export interface MemoryProgramContext {
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  cwd: string
  files: SandboxFiles
  stdin: Readable
  stdout: (data: string | Buffer) => void
  stderr: (data: string | Buffer) => void
  /** Aborted by SIGTERM and SIGINT. SIGKILL is not told: the process is over, whatever its function still does. */
  signal: AbortSignal
  /** Answers real HTTP on a free port of 127.0.0.1 until the process ends, and tells the port. */
  serve: (listener: RequestListener, options?: { bound?: 'any' | 'loopback' }) => Promise<number>
}

/** Resolves with the exit code. */
export type MemoryProgram = (context: MemoryProgramContext) => Promise<number>

export const builtins: Readonly<Record<string, MemoryProgram>> = {
  echo: async ({ argv, stdout }) => {
    stdout(`${argv.slice(1).join(' ')}\n`)
    return 0
  },
  cat: async ({ argv, cwd, files, stdin, stdout, stderr }) => {
    const paths = argv.slice(1)
    if (paths.length === 0) for await (const chunk of stdin as AsyncIterable<Buffer>) stdout(chunk)
    for (const path of paths) {
      try {
        stdout(await buffer(await files.read(posix.resolve(cwd, path))))
      } catch (error) {
        stderr(`cat: ${path}: ${error instanceof Error ? error.message : String(error)}\n`)
        return 1
      }
    }
    return 0
  },
  pwd: async ({ cwd, stdout }) => {
    stdout(`${cwd}\n`)
    return 0
  },
  true: async () => 0,
  false: async () => 1,
  sh: runShell,
}

/** `sh -c`: simple commands one after the other, `$NAME`, `>&2` at the end of a command, and `exit`. */
async function runShell(context: MemoryProgramContext): Promise<number> {
  const script = context.argv[1] === '-c' ? (context.argv[2] ?? '') : await scriptOf(context)
  let code = 0
  for (const command of script.split(/[;\n]/)) {
    const toStderr = />&2\s*$/.test(command)
    const words = command
      .replace(/>&2\s*$/, '')
      .replaceAll(/\$(\w+)/g, (_, name: string) => context.env[name] ?? '')
      .split(/\s+/)
      .filter(word => word !== '')
    const [name, first] = words
    if (name === undefined) continue
    if (name === 'exit') return Number(first ?? code)
    const program = builtins[name]
    if (program === undefined) {
      context.stderr(`sh: ${name}: not found\n`)
      code = 127
      continue
    }
    const stdout = toStderr ? context.stderr : context.stdout
    code = await program({ ...context, argv: words, stdout })
  }
  return code
}

async function scriptOf({ argv, cwd, files }: MemoryProgramContext): Promise<string> {
  return text(await files.read(posix.resolve(cwd, argv[1] ?? '')))
}
