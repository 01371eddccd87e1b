import type { Command } from './command.ts'
import { promote, restart, start, stop } from './commands/control.ts'
import { deploy } from './commands/deploy.ts'
import { destroy } from './commands/destroy.ts'
import { dev } from './commands/dev.ts'
import { doctor } from './commands/doctor.ts'
import { init } from './commands/init.ts'
import { invite } from './commands/invite.ts'
import { login, register } from './commands/login.ts'
import { logout } from './commands/logout.ts'
import { logs } from './commands/logs.ts'
import { members } from './commands/members.ts'
import { open } from './commands/open.ts'
import { projects } from './commands/projects.ts'
import { ps } from './commands/ps.ts'
import { rollback } from './commands/rollback.ts'
import { run } from './commands/run.ts'
import { tokens } from './commands/tokens.ts'
import { whoami } from './commands/whoami.ts'

/** In the order of the help. */
export const commandGroups: readonly { title: string; commands: readonly Command[] }[] = [
  { title: 'Applications', commands: [deploy, dev, init, ps, logs, open, run] },
  { title: 'Control', commands: [start, stop, restart, promote, rollback, destroy] },
  { title: 'Account', commands: [login, register, logout, whoami, tokens] },
  { title: 'Projects and server', commands: [projects, members, invite, doctor] },
]

export function findCommand(name: string): Command | undefined {
  return commandGroups
    .flatMap(group => group.commands)
    .find(command => command.name === name || command.aliases?.includes(name) === true)
}
