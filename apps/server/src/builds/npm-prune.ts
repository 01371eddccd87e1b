import type { BuildCommand } from './build-recipe.ts'

/**
 * What `npm prune --omit=dev` comes to, by the list that npm keeps of what it installed. npm itself renames each folder
 * first, for which an overlay copies it: 17 s for a NestJS project, where this takes one.
 */
const script = `
const { existsSync, readdirSync, readFileSync, rmSync } = require('fs')
const list = 'node_modules/.package-lock.json'
const prune = () => require('child_process').execFileSync('npm', ['prune', '--omit=dev', '--ignore-scripts'], { stdio: 'inherit' })
const remove = () => {
  const { packages } = JSON.parse(readFileSync(list, 'utf8'))
  const unneeded = Object.keys(packages).filter(path => packages[path].dev === true && /(^|\\/)node_modules\\//.test(path))
  for (const path of unneeded) rmSync(path, { recursive: true, force: true })
  const bin = 'node_modules/.bin'
  for (const name of existsSync(bin) ? readdirSync(bin) : []) if (!existsSync(bin + '/' + name)) rmSync(bin + '/' + name, { force: true })
  console.log('removed ' + unneeded.length + ' packages')
}
if (rmSync && existsSync(list)) remove()
else prune()
`

export const npmPrune: BuildCommand = { argv: ['node', '-e', script], label: 'remove the development dependencies' }
