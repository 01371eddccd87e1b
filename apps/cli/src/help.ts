import { type Command, commonOptions, type OptionTable } from './command.ts'
import { commandGroups } from './command-table.ts'

export function generalHelp(): string {
  const width = Math.max(...commandGroups.flatMap(({ commands }) => commands.map(command => namesOf(command).length)))
  const groups = commandGroups.map(
    ({ title, commands }) =>
      `${title}\n${commands.map(command => `  ${namesOf(command).padEnd(width)}  ${command.summary}`).join('\n')}`,
  )
  return [
    'CodeRunner turns a folder of code into a running application at a URL.',
    '',
    'Usage: coderunner COMMAND [options]',
    '',
    groups.join('\n\n'),
    '',
    'Every command',
    optionLines(commonOptions),
    '',
    'Environment: CODERUNNER_URL (default http://127.0.0.1:3000), CODERUNNER_TOKEN, NO_COLOR, CI',
    '`coderunner help COMMAND` tells more.',
  ].join('\n')
}

export function commandHelp(command: Command): string {
  const usage = command.usage.split('\n').map(form => `coderunner ${command.name} ${form}`.trimEnd())
  const aliases = command.aliases === undefined ? [] : ['', `Also: ${command.aliases.join(', ')}`]
  const notes = (command.notes ?? []).flatMap(note => ['', ...wrapped(note)])
  return [
    `${command.summary}.`,
    '',
    `Usage: ${usage.join('\n       ')}`,
    ...aliases,
    '',
    'Options',
    optionLines({ ...command.options, ...commonOptions }),
    ...notes,
  ].join('\n')
}

function namesOf({ name, aliases = [] }: Command): string {
  return [name, ...aliases].join(', ')
}

function optionLines(options: OptionTable): string {
  const rows = Object.entries(options).map(([name, { short, value, help }]) => {
    const flags = `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`
    return [flags, help] as const
  })
  const width = Math.max(...rows.map(([flags]) => flags.length))
  return rows.map(([flags, help]) => `  ${flags.padEnd(width)}  ${help}`).join('\n')
}

const lineWidth = 90

function wrapped(text: string): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last !== '' && last.length + word.length >= lineWidth) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines
}
