/** What Node and the shell say of a program that is not whole, while it is built and when it starts; the most telling first. */
import { type FailureClass, following } from './failure-class.ts'

export const nodeFailures: readonly FailureClass[] = [
  {
    pattern: /[Mm]issing script:? "?([\w:.-]+)"?|ERR_PNPM_NO_SCRIPT\S* +Missing script: (\S+)/,
    explain: ([, script, other]) =>
      `package.json has no script “${script ?? other}”: add it, or take out what calls it.`,
  },
  {
    pattern: /Cannot find module '(\.{0,2}\/[^'\n]*)'(?: imported from (\S+))?/,
    explain: found => {
      const [, path = '', imported] = found
      const by = imported ?? following(found, /Require stack:\s*- (\S+)/)[0]
      return noFile(inProject(path), by === undefined ? undefined : inProject(by))
    },
  },
  {
    pattern: /Cannot find (?:module|package) '([^'\n]+)'/,
    explain: ([, name = '']) =>
      `The package ${packageOf(name)} is not installed: add it to the dependencies of package.json (not the devDependencies, where the application needs it to run).`,
  },
  {
    pattern:
      /Could not resolve "(\.{1,2}\/[^"\n]+)" from "([^"\n]+)"|Can't resolve '(\.{1,2}\/[^'\n]+)' in '([^'\n]+)'|Could not resolve "(\.{1,2}\/[^"\n]+)"/,
    explain: ([, one, by, other, folder, alone]) =>
      noFile(one ?? other ?? alone ?? '', by ?? (folder === undefined ? undefined : inProject(folder))),
  },
  {
    pattern: /(?:sh: \d+: |sh: |bash: (?:line \d+: )?)([\w.@/-]+): (?:command )?not found/,
    explain: ([, program]) =>
      `The program “${program}” is not there: add the package that brings it to the dependencies.`,
  },
]

function noFile(path: string, by: string | undefined): string {
  const from = by === undefined ? '' : `, which ${by} asks for`
  return `There is no file ${path}${from}: look whether it was deployed and is written in the same case, as Linux tells Server.js from server.js.`
}

/** Paths as they are in the upload. */
function inProject(path: string): string {
  return path.replace(/^file:\/\//, '').replace(/^\/app\//, '')
}

/** `@acme/kit/server` is in `@acme/kit`. */
function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
}
