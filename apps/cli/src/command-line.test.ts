import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from './command.ts'
import { commonOptions } from './command.ts'
import { readCommandLine, readInteger, readVariables } from './command-line.ts'
import { commandGroups, findCommand } from './command-table.ts'
import { commandHelp, generalHelp } from './help.ts'
import { UsageError } from './usage-error.ts'

const commands = commandGroups.flatMap(group => group.commands)
const named = (name: string) => findCommand(name) as Command

test('no name, alias or option is given twice', () => {
  const names = commands.flatMap(({ name, aliases = [] }) => [name, ...aliases])
  assert.equal(new Set(names).size, names.length)
  for (const { name, options } of commands) {
    const table = Object.entries({ ...options, ...commonOptions } as Command['options'])
    const shorts = table.flatMap(([, { short }]) => short ?? [])
    assert.equal(new Set(shorts).size, shorts.length, name)
    for (const option of Object.keys(options)) assert.ok(!(option in commonOptions), `${name} --${option}`)
  }
})

test('every command is in the help and has help of its own', () => {
  const help = generalHelp()
  for (const command of commands) {
    assert.ok(help.includes(command.summary), command.name)
    const own = commandHelp(command)
    for (const option of Object.keys(command.options))
      assert.ok(own.includes(`--${option}`), `${command.name} ${option}`)
    assert.ok(own.split('\n').every(line => line.length <= 120))
  }
})

test('the known words lead to their commands', () => {
  const words = { up: 'deploy', status: 'ps', exec: 'run', down: 'destroy' }
  for (const [word, name] of Object.entries(words)) assert.equal(named(word).name, name)
  assert.equal(findCommand('constructor'), undefined)
})

test('options may stand before and after arguments', () => {
  const args = ['--project', 'x', 'dir', '-e', 'A=1', '--env=B=2=3', '-y', '--json']
  const { positionals, options } = readCommandLine(named('deploy'), args)
  assert.deepEqual(positionals, ['dir'])
  assert.deepEqual({ ...options }, { project: 'x', env: ['A=1', 'B=2=3'], yes: true, json: true })
})

test('what follows -- belongs to the command', () => {
  const { positionals, options } = readCommandLine(named('run'), ['-p', 'x', '--', 'npm', 'test', '--', '--json', '-p'])
  assert.deepEqual(positionals, ['npm', 'test', '--', '--json', '-p'])
  assert.deepEqual({ ...options }, { project: 'x' })
})

test('what is not understood is a usage error of that command', () => {
  const lines: [string, string[]][] = [
    ['deploy', ['--projekt', 'x']],
    ['deploy', ['a', 'b']],
    ['promote', []],
    ['run', ['--project', 'x']],
    ['ps', ['--project']],
    ['ps', ['--all=yes']],
  ]
  for (const [name, args] of lines)
    assert.throws(
      () => readCommandLine(named(name), args),
      (error: UsageError) => error instanceof UsageError && error.command === name,
      `${name} ${args.join(' ')}`,
    )
  assert.equal(readCommandLine(named('promote'), ['-h']).options.help, true, 'help needs no arguments')
})

test('numbers and variables are checked; a wrong variable does not show its value', () => {
  assert.equal(readInteger('8080', '--port', { min: 1, max: 65_535 }), 8080)
  for (const text of ['0', '70000', '80.5', '0x10', '', ' 1'])
    assert.throws(() => readInteger(text, '--port', { min: 1, max: 65_535 }), UsageError, text)
  assert.deepEqual(readVariables(['A=1', 'B=', 'C=x=y\nz', 'A=2']), { A: '2', B: '', C: 'x=y\nz' })
  assert.throws(
    () => readVariables(['MY KEY=s3cret']),
    (error: Error) => /MY KEY=…/.test(error.message) && !error.message.includes('s3cret'),
  )
  assert.throws(
    () => readVariables(['s3cret']),
    (error: Error) => !error.message.includes('s3cret'),
  )
})
