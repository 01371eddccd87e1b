/** A Procfile: a line for each process, `type: command`. */
import type { api } from '@coderunner/contract'
import type { Findings } from './findings.ts'
import type { ProjectFiles } from './project-files.ts'

export interface Procfile {
  /** In the order of the file; empty when it has a release command only. */
  processes: readonly api.ProcessPlan[]
  /** Runs once before a new version serves. */
  release?: string
}

const maxProcesses = 50
const linePattern = /^([A-Za-z0-9_-]+)\s*:\s*(.*)$/
/** What a process may be called, as the API has it. */
const typePattern = /^[a-z][a-z0-9-]{0,30}$/
const maxCommand = 2000

export async function readProcfile(files: ProjectFiles, findings: Findings): Promise<Procfile | undefined> {
  const text = await files.read('Procfile')
  if (text === undefined) {
    const other = files.paths.find(path => path !== 'Procfile' && /^procfile(?:\.txt)?$/i.test(path))
    if (other !== undefined) findings.warn(`${other} is not read: a Procfile is called Procfile, with a capital P.`)
    return undefined
  }
  return parseProcfile(text, findings)
}

/** Undefined when no line names a process. Lines that do not are told and passed over. */
export function parseProcfile(text: string, findings: Findings): Procfile | undefined {
  const commands = new Map<string, string>()
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const problem = takeLine(line, commands)
    if (problem !== undefined) findings.warn(`Line ${index + 1} of the Procfile is left out: ${problem}.`)
  }
  const release = commands.get('release')
  commands.delete('release')
  if (commands.size === 0 && release === undefined) return undefined
  for (const [type, command] of commands) findings.found(`${type}: ${command}`, 'a line of the Procfile')
  if (release !== undefined) findings.found(`release: ${release}`, 'a line of the Procfile')
  if (commands.size > 0 && !commands.has('web'))
    findings.warn('The Procfile has no web process: nothing answers at the URL.')
  return {
    processes: [...commands].map(([type, command]) => ({ type, command, count: 1 })),
    ...(release === undefined ? {} : { release }),
  }
}

/** What is wrong with the line, or nothing. */
function takeLine(line: string, commands: Map<string, string>): string | undefined {
  const [, name, command = ''] = linePattern.exec(line) ?? []
  if (name === undefined) return 'it has to read “type: command”, such as “web: python app.py”'
  const type = name.toLowerCase().replaceAll('_', '-')
  if (!typePattern.test(type))
    return `“${name.slice(0, 40)}” is no name for a process: letters, digits and “-”, a letter first`
  if (command === '') return `${type} has no command`
  if (command.length > maxCommand) return `the command of ${type} is longer than ${maxCommand} characters`
  if (commands.has(type)) return `${type} is there already, and the first one counts`
  if (commands.size >= maxProcesses) return `there are more than ${maxProcesses} processes`
  commands.set(type, command)
  return undefined
}
